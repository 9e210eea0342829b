/**
 * Faults of wall clocks. Set forward and back by a day: the only fault that needs the gateway inside this process,
 * where its clock is a parameter. Begun in 1970: the executable itself, whose process gets the time of a file through
 * libfaketime.
 */
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { loadConfig } from "../../../src/config/index.ts";
import { systemClock, type Clock } from "../../../src/core/clock.ts";
import { createGateway } from "../../../src/gateway.ts";
import { statsWhen } from "../../kit/gateway.ts";
import type { Fault } from "../fault.ts";
import type { Gateway, Site } from "../site.ts";

const dayMs = 86_400_000;
let offsetMs = 0;

const steppedClock: Clock = { ...systemClock, wallMs: () => Date.now() + offsetMs };

async function launch(env: Record<string, string>, dataDir: string): Promise<Gateway> {
  const loaded = loadConfig({
    DATA_DIR: dataDir,
    GATEWAY_ID: "test-gateway",
    HTTP_LISTEN: "127.0.0.1:0",
    ...env,
  });
  if (!("config" in loaded)) throw new Error(loaded.mistakes.join("\n"));
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const gateway = await createGateway({ config: loaded.config, log, clock: steppedClock });
  await gateway.start();
  let ended = false;
  const stop = async () => {
    if (!ended) await gateway.stop();
    ended = true;
    return 0;
  };
  return {
    pid: process.pid,
    stats: () => Promise.resolve(gateway.view.stats()),
    stop,
    kill9: async () => void (await stop()),
    log: () => lines.join(""),
    exitCode: () => null,
  };
}

/** What libfaketime tells one row's processes: a file of its own, because every row is prepared before the first runs. */
function toldBy(name: string): { file: string; env: Record<string, string> } {
  const file = join(tmpdir(), `sluice-fault-${name}-${process.pid}`);
  return {
    file,
    env: {
      LD_PRELOAD: libfaketime() ?? "",
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
  };
}
const leaping = toldBy("clock-leaps");
const in1970 = toldBy("clock-1970");

/** Tells each process that begins 00:10 of the first day, as a host without a clock chip does at every boot; then the true time. */
const unset = "@1970-01-01 00:10:00\n";
const set = "+0\n";

function libfaketime(): string | undefined {
  const root = "/usr/lib";
  const dirs = existsSync(root) ? readdirSync(root).map((name) => join(root, name, "faketime")) : [];
  return dirs.map((dir) => join(dir, "libfaketime.so.1")).find((path) => existsSync(path));
}

/** When each message was made, by its number. */
const madeMs: number[] = [];

/** Every second message has no time. */
function withoutTime(n: number, text: string): { text: string; expected: string } {
  madeMs[n] = Date.now();
  return { text: n % 2 === 0 ? text : text.replace(/"ts":"[^"]*",/, ""), expected: "event" };
}

/** Nothing is in 1970, and nothing has a time before it was made or after it was stored. */
async function timesAreTrue(site: Site): Promise<string[]> {
  const rows = await site.sql(
    (sql) => sql<{ n: number; timeless: boolean; event: number; arrived: number; now: number }[]>`
      select (payload->>'n')::int as n, payload->>'ts' is null as timeless,
        extract(epoch from event_ts)::float8 * 1000 as event, extract(epoch from ingested_at)::float8 * 1000 as arrived,
        extract(epoch from now())::float8 * 1000 as now from raw_events`,
  );
  const timeless = rows.filter((row) => row.timeless);
  const slackMs = 2_000;
  const wrong = timeless.filter(
    (row) => row.event < (madeMs[row.n] ?? 0) - slackMs || row.event > row.now + slackMs,
  );
  const inThePast = rows.filter((row) => row.arrived < Date.UTC(2025, 0));
  return [
    ...(timeless.length === 0 ? ["no message without a time was stored"] : []),
    ...(wrong.length > 0
      ? [`${wrong.length} messages have a wrong time, the first ${JSON.stringify(wrong[0])}`]
      : []),
    ...(inThePast.length > 0
      ? [`${inThePast.length} rows arrived in ${new Date(inThePast[0]?.arrived ?? 0).toISOString()}`]
      : []),
  ];
}

/** @param begin the time that the first process sees */
function prepareTelling(file: string, begin: string): string {
  writeFileSync(file, begin);
  return libfaketime() === undefined ? "libfaketime is not installed" : "";
}

export const clockFaults: readonly Fault[] = [
  {
    name: "clock-stepped",
    says: "Wall clock stepped a day forth, and two back, under load",
    site: { launch, faults: {} },
    few: 4,
    many: 20,
    async run(_, times, random) {
      for (let i = 0; i < times; i++) {
        offsetMs = i % 2 === 0 ? dayMs : -dayMs;
        await Bun.sleep(random.whole(100, 400));
      }
      offsetMs = 0;
      return times;
    },
  },
  {
    name: "clock-leaps",
    says: "Wall clock leaps to 2100, to 1970 and years ahead, and back, under load: times go on by our own count",
    site: { faults: {}, spoil: withoutTime, env: leaping.env },
    few: 3,
    many: 30,
    prepare: () => prepareTelling(leaping.file, set),
    done: () => rmSync(leaping.file, { force: true }),
    async run(site, times) {
      const leaps = ["+27000d\n", "-20000d\n", "+1200d\n"];
      for (let i = 0; i < times; i++) {
        writeFileSync(leaping.file, leaps[i % leaps.length] ?? set);
        await statsWhen(site.gateway, ({ clock }) => !clock.believed);
        writeFileSync(leaping.file, set);
        await statsWhen(site.gateway, ({ clock }) => clock.believed);
      }
      return times;
    },
    also: timesAreTrue,
  },
  {
    name: "clock-1970",
    says: "Host booted in 1970, `kill -9` again and again, then its clock is set: readings without a time get theirs",
    site: {
      faults: {},
      spoil: withoutTime,
      env: in1970.env,
    },
    few: 2,
    many: 20,
    prepare: () => prepareTelling(in1970.file, unset),
    done: () => rmSync(in1970.file, { force: true }),
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await statsWhen(site.gateway, ({ ingest }) => ingest.judging > (i + 1) * 50);
        await site.killAndStart();
      }
      const { clock } = await site.gateway.stats();
      if (clock.believed || clock.time_known) throw new Error(`1970 is believed: ${JSON.stringify(clock)}`);
      writeFileSync(in1970.file, set);
      await statsWhen(site.gateway, (stats) => stats.clock.believed && stats.ingest.judging === 0);
      return times;
    },
    also: timesAreTrue,
  },
];
