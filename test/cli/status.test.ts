/** `sluice status` and `sluice top` against a running gateway: one that works, and one whose sink has gone. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { execute } from "../../src/cli/index.ts";
import { fitting, screen, shownStats } from "../../src/cli/status/screen.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { type InProcess, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

let running: InProcess;
const dead = "http://127.0.0.1:9";

beforeEach(async () => {
  running = await startInProcess({ INFLUXDB_URL: dead, INFLUX_FLUSH_INTERVAL_MS: "10" });
  await running.gateway.view.devices.add(registered(["d1"]));
});
afterEach(stopAll);

async function sluice(
  words: string[],
  terminal: { columns?: number; env?: Record<string, string>; shows?: (text: string) => void } = {},
) {
  let out = "";
  let err = "";
  const isNamed = words.includes("--help") || words.includes("--gateway");
  const gateway = isNamed ? [] : ["--gateway", `http://${running.gateway.httpAddress()}`];
  const code = await execute([...words, ...gateway], {
    env: terminal.env ?? {},
    stdout(text) {
      out += text;
      terminal.shows?.(text);
    },
    stderr: (text) => void (err += text),
    signal: new AbortController().signal,
    isOutputTerminal: terminal.env !== undefined,
    columns: terminal.columns,
    createLog: () => silentLog,
  });
  return { code, out, err };
}

async function inTrouble(): Promise<void> {
  running.source.give(telemetry("d1", 1), telemetry("d1", 2, { provision_token: "tok-wrong" }));
  await running.acknowledged();
  await until(() => running.stats().sinks["influx"]?.["trouble"] !== null);
}

test("a working gateway says so first, then shows the way of a message", async () => {
  const { code, out } = await sluice(["status"]);
  expect(code).toBe(0);
  expect(out).toContain("\nWorking\n");
  expect(out).toMatch(/^sink influx +ok +has had nothing to deliver since the start$/m);
  expect(out).toContain("Books balance.\n");
});

test("a sink that is away comes first: since when, in whose words, and the remedy", async () => {
  await inTrouble();
  const { out } = await sluice(["status"]);
  expect(out).toMatch(
    /\nSink influx cannot deliver \(since \d\d:\d\d\)\n {2}.*127\.0\.0\.1:9.*\n {2}Nothing is lost: 1 entry waits/,
  );
  expect(out).toContain("Received 2 = accepted 1 + rejected 1 (TOKEN_INVALID 1) + duplicate 0 + judging 0");
  const { out: json } = await sluice(["status", "--json"]);
  expect(JSON.parse(json)).toMatchObject({
    attention: { level: "warning", text: "Sink influx cannot deliver" },
  });
});

test("what people read has its thousands apart, and columns of such numbers stay to the right", async () => {
  const stats = shownStats.parse(running.stats());
  const { influx } = stats.sinks;
  if (influx === undefined) throw new Error("there is no sink influx");
  const text = screen({
    stats: {
      ...stats,
      ingest: { ...stats.ingest, received: 1_234_567 },
      spool: { ...stats.spool, entries: 1_139, dead_letters: 0 },
      sinks: { influx: { ...influx, delivered: 1_233_428, waiting: 1_139 }, redis: { ...influx } },
    },
    inColour: false,
  });
  expect(text).toContain("Received 1,234,567 = ");
  expect(text).toContain("Spool: 1,139 entries wait, ");
  expect(text).toMatch(/^influx +1,233,428 +- +1,139 /m);
  expect(text).toMatch(/^redis {11,}0 /m);
});

test("colours go only to a terminal, and NO_COLOR is obeyed", async () => {
  await inTrouble();
  expect((await sluice(["status"], { env: { TERM: "xterm" } })).out).toContain("\u001b[33m");
  expect((await sluice(["status"], { env: { TERM: "xterm", NO_COLOR: "1" } })).out).not.toContain("\u001b");
  expect((await sluice(["status"])).out).not.toContain("\u001b");
});

test("top updates and shows rates: in place on a terminal, line after line elsewhere", async () => {
  const { promise: firstLook, resolve: shows } = Promise.withResolvers<string>();
  const looks = sluice(["top", "--seconds", "1", "--count", "2"], { env: { TERM: "xterm" }, shows });
  await firstLook;
  running.source.give(...Array.from({ length: 40 }, (_, i) => telemetry("d1", i + 1)));
  const { out } = await looks;
  expect(out.split("\u001b[H\u001b[2J")).toHaveLength(3);
  const rate = Number(/now (\d+) per second/.exec(out)?.[1]);
  expect(rate).toBeGreaterThan(0);
  expect(rate).toBeLessThanOrEqual(40);
  const { out: piped } = await sluice(["top", "--count", "1"]);
  expect(piped).not.toContain("\u001b");
  const { out: dumb } = await sluice(["top", "--count", "1"], { env: { TERM: "dumb" } });
  expect(dumb).not.toContain("\u001b");
});

test.each([
  [24, 80],
  [12, 40],
  [50, 200],
  [2, 80],
])(
  "a terminal of %i rows and %i columns shows the beginning of what top draws, for the sentence is there",
  (rows, columns) => {
    const stats = shownStats.parse(running.stats());
    const text = screen({ stats, inColour: true });
    const heightOf = (drawn: string) =>
      drawn
        .split("\n")
        .reduce(
          (sum, line) => sum + Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns)),
          0,
        );
    const shown = fitting(text, { rows, columns });
    // The cursor stands in the last row.
    expect(heightOf(shown)).toBeLessThanOrEqual(rows);
    if (heightOf(text) <= rows) expect(shown).toBe(text);
    else expect(text.startsWith(shown.slice(0, -2))).toBe(true);
    if (rows > 2) expect(shown).toContain("Working");
  },
);

test.each(["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])(
  "the day of a trouble that began before today is that of the reader's clock, in %s",
  (zone) => {
    const program = `
      import { localTime } from "${join(import.meta.dir, "../../src/core/text/readable.ts")}";
      const now = new Date();
      const dates = [[2020, 10, 20, 0, 30], [2020, 10, 20, 23, 30], [now.getFullYear(), now.getMonth() === 10 ? 9 : 10, 20, 23, 30]];
      console.log(dates.map((date) => localTime(new Date(...date).toISOString())).join(" | "));`;
    const ran = Bun.spawnSync([process.execPath, "-e", program], { env: { TZ: zone } });
    expect(ran.stdout.toString().trim()).toMatch(
      /^Nov 20, 2020 00:30 \| Nov 20, 2020 23:30 \| (Oct|Nov) 20 23:30$/,
    );
  },
);

test("no gateway: one sentence, and exit code 1", async () => {
  const gateway = running.gateway.httpAddress();
  await running.gateway.stop();
  const { code, err } = await sluice(["status"]);
  expect(code).toBe(1);
  expect(err).toContain(`no gateway answers at http://${gateway}`);
});

test("top goes on while the gateway is away, and says so", async () => {
  const gateway = running.gateway.httpAddress();
  const { promise: firstLook, resolve: shows } = Promise.withResolvers<string>();
  const looks = sluice(["top", "--count", "2"], { shows });
  await firstLook;
  await running.gateway.stop();
  const { code, out } = await looks;
  expect(out).toMatch(/^Sluice /);
  expect([code, out]).toEqual([
    1,
    expect.stringContaining(`no gateway answers at http://${gateway}`) as string,
  ]);
});

test("a gateway that hangs is told of before what top shows of it is old", async () => {
  using hung = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Promise<Response>(() => {}) });
  const { code, out, err } = await sluice(["top", "--gateway", hung.url.origin]);
  expect([code, out]).toEqual([1, ""]);
  expect(err).toContain(`no gateway answers at ${hung.url.origin}`);
  void hung.stop(true);
}, 30_000);

test("help is as wide as the terminal, within what can be read", async () => {
  const widest = async (columns: number) => {
    const { out } = await sluice(["devices", "--help"], { columns, env: {} });
    return Math.max(...out.split("\n").map(({ length }) => length));
  };
  expect(await widest(90)).toBeLessThanOrEqual(90);
  expect(await widest(115)).toBeGreaterThan(90);
});
