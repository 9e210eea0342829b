/** Streams: who may have one open, how long, and what a reader is sent who does not keep up. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp } from "../../src/http/app.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { aMessage } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";
import { type InProcess, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";
import { fakeView } from "../kit/view.ts";

afterEach(stopAll);

const token = "a-token-of-some-length";
const authorization = `Bearer ${token}`;

/** A gateway with an ADMIN_TOKEN, seen from anywhere. */
function gateway({ adminToken }: { adminToken: string | undefined } = { adminToken: token }, changes = {}) {
  const clock = simulatedClock();
  const state = { isInForce: true };
  const isInForce = () => state.isInForce;
  const { view } = fakeView(changes);
  const app = createApp({ view, adminToken, isInForce, audit: () => {}, clock, log: silentLog });
  const ask = async (
    path: string,
    clientAddress: string,
    headers: Record<string, string> = {},
    method = "GET",
  ) =>
    app.fetch(
      new Request(`http://127.0.0.1:8080${path}`, {
        method,
        headers: { host: "127.0.0.1:8080", ...headers },
      }),
      { clientAddress },
    );
  const login = async (): Promise<string> => {
    const body = JSON.stringify({ token });
    const request = new Request("http://127.0.0.1:8080/login", { method: "POST", body });
    const { headers } = await app.fetch(request, { clientAddress: "::1" });
    return headers.get("set-cookie")?.split(";")[0] ?? "";
  };
  const logout = (cookie: string) =>
    app.fetch(new Request("http://127.0.0.1:8080/logout", { method: "POST", headers: { cookie } }), {
      clientAddress: "::1",
    });
  return { clock, state, ask, login, logout };
}

const statuses = async (answers: readonly Promise<Response>[]) =>
  (await Promise.all(answers)).map(({ status }) => status);

/** Whether the answer has ended, once what it holds was read. */
async function hasEnded({ body }: Response): Promise<boolean> {
  const reader = body?.getReader();
  for (;;) {
    const next = await Promise.race([reader?.read(), Bun.sleep(20)]);
    if (next === undefined) return false;
    if (next.done) return true;
  }
}

test("nginx is told to hold nothing back, in the one word that it heeds", async () => {
  const { ask } = gateway();
  for (const path of ["/live", "/admin/follow?tenant=acme&device=d1"])
    expect((await ask(path, "::1", { authorization })).headers.get("x-accel-buffering")).toBe("no");
});

describe("how many", () => {
  test("strangers cannot take those of who has logged in or shows a token", async () => {
    const { ask, login } = gateway();
    const of = (client: string, n: number, headers = {}) =>
      statuses(Array.from({ length: n }, () => ask("/live", client, headers)));
    expect(await of("10.0.0.1", 11)).toEqual([...Array<number>(10).fill(200), 503]);
    for (const client of ["10.0.0.2", "10.0.0.3", "10.0.0.4"]) await of(client, 10);
    expect(await of("10.0.0.5", 1)).toEqual([503]);
    // Nor does it help a stranger to come from this host: a proxy lets them all.
    expect(await of("127.0.0.1", 1)).toEqual([503]);
    expect(await of("127.0.0.1", 1, { authorization: "Bearer another-token-of-length" })).toEqual([503]);
    expect(await of("10.0.0.1", 5, { authorization })).toEqual(Array<number>(5).fill(200));
    const cookie = await login();
    expect(await of("10.0.0.9", 6, { cookie })).toEqual([...Array<number>(5).fill(200), 503]);
  });

  test("without ADMIN_TOKEN there are no strangers", async () => {
    const { ask } = gateway({ adminToken: undefined });
    const all = await statuses(Array.from({ length: 51 }, () => ask("/live", "127.0.0.1")));
    expect(all).toEqual([...Array<number>(50).fill(200), 503]);
  });

  test("HEAD opens none", async () => {
    const { ask } = gateway();
    for (let i = 0; i < 11; i++) expect((await ask("/live", "10.0.0.1", {}, "HEAD")).status).toBe(200);
    expect((await ask("/live", "10.0.0.1")).status).toBe(200);
  });

  test("one that ends makes room", async () => {
    const { ask } = gateway();
    const open = await Promise.all(Array.from({ length: 10 }, () => ask("/live", "10.0.0.1")));
    expect((await ask("/live", "10.0.0.1")).status).toBe(503);
    await open[3]?.body?.cancel();
    expect((await ask("/live", "10.0.0.1")).status).toBe(200);
  });
});

describe("how long", () => {
  test.each(["/live", "/admin/follow"])(
    "%s ends with the logout, and with the session's time",
    async (path) => {
      const { clock, ask, login, logout } = gateway();
      const [cookie, other] = [await login(), await login()];
      const [ended, open] = [await ask(path, "::1", { cookie }), await ask(path, "::1", { cookie: other })];
      const stranger = await ask("/live", "10.0.0.1");
      await logout(cookie);
      clock.advance(10_000);
      expect([await hasEnded(ended), await hasEnded(open), await hasEnded(stranger)]).toEqual([
        true,
        false,
        false,
      ]);
      const late = await ask(path, "::1", { cookie: other });
      clock.advance(12 * 3_600_000);
      expect(await hasEnded(late)).toBe(true);
    },
  );

  test("all end when the token is renewed", async () => {
    const { clock, state, ask, login } = gateway();
    const answers = await Promise.all([
      ask("/live", "10.0.0.1"),
      ask("/live", "::1", { cookie: await login() }),
      ask("/admin/follow", "::1", { authorization }),
    ]);
    state.isInForce = false;
    clock.advance(10_000);
    expect(await Promise.all(answers.map(hasEnded))).toEqual([true, true, true]);
  });
});

describe("what is sent", () => {
  let running: InProcess;
  const url = (path: string) => `http://${running.gateway.httpAddress()}${path}`;

  test("who does not read is ended, and nothing is buffered without end", async () => {
    const { clock, ask } = gateway();
    const answer = await ask("/live", "10.0.0.1");
    clock.advance(3_600_000);
    expect((await answer.text()).length).toBeLessThan(400_000);
  });

  test("of a group that is more than anybody reads some are shown, the others counted, and the stream goes on", async () => {
    running = await startInProcess();
    await running.gateway.view.devices.add(registered(["d1"]));
    const ending = new AbortController();
    const { body } = await fetch(url("/admin/follow"), { signal: ending.signal });
    let text = "";
    const read = (async () => {
      for await (const piece of body ?? []) text += new TextDecoder().decode(piece);
    })().catch(() => {});
    running.source.give(...Array.from({ length: 900 }, (_, seq) => telemetry("d1", seq)));
    const countOf = (event: string) => text.split(`event: ${event}\n`).length - 1;
    const notShown = () => Number(/"entries":(\d+)/.exec(text)?.[1] ?? 0);
    await until(() => notShown() > 0 && countOf("passed") === countOf("entry"));
    expect(countOf("entry")).toBe(50);
    expect(notShown()).toBe(850);
    await running.acknowledged();
    running.source.give(telemetry("d1", 901));
    await until(() => countOf("entry") === 51);
    expect(running.stats()).toMatchObject({ balanced: true, ingest: { held: null } });
    ending.abort();
    await read;
  });

  test("a stream that follows one device shows no other device, never a token, and which mapping and stage judged", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "sluice-streams-")), "mappings.toml");
    writeFileSync(
      file,
      '[[mapping]]\ntopic = "{tenant}/{device}/state"\ntype = "telemetry"\nproof = "broker"\n',
    );
    running = await startInProcess({ MAPPINGS_FILE: file });
    await running.gateway.view.devices.add(registered(["d1", "d2"]));
    const ending = new AbortController();
    const { body } = await fetch(url("/admin/follow?tenant=acme&device=d1"), { signal: ending.signal });
    let text = "";
    const read = (async () => {
      for await (const piece of body ?? []) text += new TextDecoder().decode(piece);
    })().catch(() => {});
    running.source.give(
      telemetry("d2", 1),
      telemetry("d1", 2),
      telemetry("d1", 3, { provision_token: "tok-wrong" }),
      aMessage('{"temp_c":4}', { topic: "acme/d1/state" }),
      aMessage("{", { topic: "acme/d1/state" }),
    );
    await until(() => text.split("event: passed").length === 5);
    ending.abort();
    await read;
    const entries = [...text.matchAll(/event: entry\ndata: (.+)\n/g)].map(([, data]) =>
      JSON.parse(data ?? ""),
    );
    expect(entries).toMatchObject([
      { device_id: "d1", verdict: "accepted", stage: null, mapping: null },
      { device_id: "d1", verdict: "TOKEN_INVALID", stage: "registry", mapping: null },
      { device_id: "d1", verdict: "accepted", stage: null, mapping: "{tenant}/{device}/state" },
      { device_id: "d1", verdict: "MALFORMED_JSON", stage: "json", mapping: "{tenant}/{device}/state" },
    ]);
    expect(text).not.toContain("tok-");
  });
});

test("one that would begin with more than may wait is refused, and leaves nothing behind", async () => {
  const stats = { text: "x".repeat(400_000) };
  const { clock, ask } = gateway({ adminToken: token }, { stats: () => stats });
  const before = clock.pending();
  expect(await statuses(Array.from({ length: 60 }, () => ask("/live", "::1")))).toEqual(
    Array<number>(60).fill(503),
  );
  expect(clock.pending()).toBe(before);
  stats.text = "";
  expect((await ask("/live", "::1")).status).toBe(200);
});
