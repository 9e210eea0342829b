/** `sluice rejects` and `sluice events` against a running gateway. */
import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { type InProcess, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

let running: InProcess;
let stop: AbortController;
beforeEach(async () => {
  running = await startInProcess();
  stop = new AbortController();
  await running.gateway.view.devices.add(registered(["d1", "d2"]));
});
afterEach(stopAll);

function sluice(...words: string[]) {
  const said = { out: "", err: "" };
  const here = `http://${running.gateway.httpAddress()}`;
  const code = execute(words.includes("--gateway") ? words : [...words, "--gateway", here], {
    env: {},
    stdout: (text) => void (said.out += text),
    stderr: (text) => void (said.err += text),
    signal: stop.signal,
    createLog: () => silentLog,
  });
  return { said, code };
}

const say = async (...messages: Parameters<InProcess["source"]["give"]>) => {
  running.source.give(...messages);
  await running.acknowledged();
};

/** Resolves once somebody follows. */
function followed(): Promise<void> {
  const { view } = running.gateway;
  const { follow } = view;
  return new Promise((resolve) => {
    Object.assign(view, {
      follow(...given: Parameters<typeof follow>) {
        resolve();
        return follow(...given);
      },
    });
  });
}

test("rejects: device, reason, count, and the remedy for each reason", async () => {
  const none = sluice("rejects");
  expect([await none.code, none.said.err.includes("nothing was rejected")]).toEqual([0, true]);
  await say(telemetry("d1", 1, { provision_token: "x" }), telemetry("d2", 1, { site_id: "lab-9" }));
  const all = sluice("rejects");
  expect(await all.code).toBe(0);
  expect(all.said.out).toMatch(/^TOKEN_INVALID +acme\/d1 +1 /m);
  expect(all.said.out).toMatch(/^SITE_MISMATCH_REGISTRY_VS_PAYLOAD +acme\/d2 +1 .*payload says lab-9$/m);
  expect(all.said.out).toMatch(/^TOKEN_INVALID: \S/m);
  const other = sluice("rejects", "--reason", "TOKEN_MISSING");
  expect([await other.code, other.said.err]).toEqual([
    0,
    expect.stringContaining("nothing that matches was rejected since the start") as string,
  ]);
  const one = sluice("rejects", "--device", "d2", "--json");
  await one.code;
  expect(JSON.parse(one.said.out)).toMatchObject({ rejects: [{ device_id: "d2" }] });
});

test.each([
  [["devices", "list"], "no device is registered: see `sluice devices add`"],
  [["devices", "list", "--tenant", "none"], "no device matches"],
  [["devices", "list", "--status", "active"], "no device matches: the words for a status are ACTIVE, "],
  [["latest"], "no device was heard"],
  [["latest", "--since", "90m"], "no device that matches was heard"],
  [["rejects"], "nothing was rejected since the start"],
  [["dead-letters", "list"], "no dead letters\n"],
  [["quarantine", "list"], "no quarantined messages\n"],
  [["quarantine", "list", "--reason", "TOKEN_INVALID"], "no quarantined messages match"],
])("%p without a row: a remark, and no heading", async (words, remark) => {
  for (const { tenantId, deviceId } of await running.gateway.view.devices.list({ limit: 10 }))
    await running.gateway.view.devices.remove({ tenantId, deviceId });
  const { said, code } = sluice(...words);
  expect([await code, said.out]).toEqual([0, ""]);
  expect(said.err).toContain(remark);
});

test.each(["rejects", "quarantine list", "quarantine replay", "quarantine discard"])(
  "%s --reason: what is none is refused, with all that are",
  async (command) => {
    const { said, code } = sluice(...command.split(" "), "--reason", "TOKEN_WRONG");
    expect([await code, said.out]).toEqual([2, ""]);
    expect(said.err).toContain("there is no reason TOKEN_WRONG: it must be one of PAYLOAD_TOO_LARGE, ");
  },
);

test.each(["dead-letters list", "quarantine replay"])(
  "%s: times the wrong way round are a mistake, not none that match",
  async (command) => {
    const { said, code } = sluice(...command.split(" "), "--since", "1h", "--until", "2h");
    expect([await code, said.out]).toEqual([2, ""]);
    expect(said.err).toContain("`since` must be before `until`");
  },
);

test("events: the next messages of one device, live, until interrupted; no token in them", async () => {
  const follows = followed();
  const { said, code } = sluice("events", "--follow", "--device", "acme/d1");
  await follows;
  await say(telemetry("d2", 1), telemetry("d1", 1), telemetry("d1", 2, { provision_token: "tok-wrong" }));
  await until(() => said.out.split("\n").length === 3);
  stop.abort();
  expect(await code).toBe(0);
  const [first, second] = said.out.split("\n");
  expect(first).toMatch(/ accepted tenant\/acme\/device\/d1\/telemetry .* to disk in \d+ ms$/);
  expect(second).toContain(" TOKEN_INVALID at stage registry ");
  expect(said.out).not.toContain("tok-");
});

test("events: as JSON with the sinks, and an end by count", async () => {
  const follows = followed();
  const { said, code } = sluice("events", "--json", "--count", "2");
  await follows;
  await say(telemetry("d1", 1));
  await until(() => said.out.includes('"event":"passed"'));
  await say(telemetry("d1", 2));
  expect(await code).toBe(0);
  expect(JSON.parse(said.out.split("\n")[0] ?? "")).toMatchObject({ event: "entry", verdict: "accepted" });
});

test("events: a message that holds what a terminal obeys, or a separator of lines, is shown as any other, and escaped on its way", async () => {
  const follows = followed();
  const { said, code } = sluice("events", "--json", "--count", "1");
  const here = `http://${running.gateway.httpAddress()}`;
  await follows;
  const stream = (await fetch(`${here}/admin/follow`)).body?.getReader();
  await say(telemetry("d1", 1, { note: "a\u2028b\u009b2J\u202ec" }));
  expect(await code).toBe(0);
  const { payload } = JSON.parse(said.out.split("\n")[0] ?? "") as { payload: string };
  expect(JSON.parse(payload)).toMatchObject({ note: "a\u2028b\u009b2J\u202ec" });
  let text = "";
  while (!text.includes("event: entry"))
    text += new TextDecoder().decode((await stream?.read())?.value ?? new Uint8Array());
  expect(text).toContain(String.raw`a\u2028b\u009b2J\u202ec`);
  await stream?.cancel();
});

test("events: if the gateway ends the stream the work is not done", async () => {
  using gateway = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(": alive\n\n", { headers: { "content-type": "text/event-stream" } }),
  });
  const { said, code } = sluice("events", "--gateway", gateway.url.origin);
  expect([await code, said.out]).toEqual([1, ""]);
  expect(said.err).toContain("error: the gateway ended this: it stops");
});

test("events: a gateway that hangs, or whose host is gone, does not look like one to which nothing comes", async () => {
  const alive = Promise.withResolvers<void>();
  using gateway = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch() {
      const body = new ReadableStream({
        start: (controller) => controller.enqueue(": alive\n\n"),
      });
      alive.resolve();
      return new Response(body);
    },
  });
  jest.useFakeTimers();
  try {
    const { said, code } = sluice("events", "--gateway", gateway.url.origin);
    await alive.promise;
    // Each sign of life begins the wait anew, and the first may be on its way yet.
    for (let turns = 0; !said.err.includes("error") && turns < 10_000; turns++) {
      jest.advanceTimersByTime(31_000);
      await setImmediate();
    }
    expect([await code, said.out]).toEqual([1, ""]);
    expect(said.err).toContain("has said nothing for long");
  } finally {
    jest.useRealTimers();
    void gateway.stop(true);
  }
});

test("who interrupts a command that waits for an answer is not told that no gateway answers", async () => {
  const asked = Promise.withResolvers<void>();
  using gateway = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch() {
      asked.resolve();
      return new Promise<Response>(() => {});
    },
  });
  const { said, code } = sluice("status", "--gateway", gateway.url.origin);
  await asked.promise;
  stop.abort();
  expect(await code).toBe(1);
  expect(said.err).toEndWith(`error: interrupted before the gateway at ${gateway.url.origin} answered\n`);
  void gateway.stop(true);
});

test("events: an invalid device is a usage error", async () => {
  const { said, code } = sluice("events", "--device", "d1");
  expect([await code, said.err.includes("<tenant>/<device>")]).toEqual([2, true]);
});
