/** The samples for the curves: one per minute for a day, across restarts and a file cut off in the middle. */
import { afterEach, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type History, keepHistory } from "../../src/admin/history.ts";
import type { Measurements } from "../../src/admin/measurements.ts";
import { Histogram } from "../../src/core/histogram.ts";
import { simulatedClock } from "../kit/clock.ts";
import { until } from "../kit/until.ts";
import { fakeView } from "../kit/view.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-history-"));
const path = join(directory, "history.ndjson");
afterEach(() => rmSync(path, { force: true }));

const latency = new Histogram();
let accepted = 0;
let rejected = 0;

function read(): Measurements {
  const measured = fakeView().view.measurements();
  const ingest = { ...measured.stats.ingest, accepted, rejected: { TOKEN_INVALID: rejected } };
  return { ...measured, stats: { ...measured.stats, ingest }, intakeLatency: latency.stats() };
}

const written = (history: History) =>
  until(() => readFileSync(path, "utf8").endsWith(`${JSON.stringify(history.samples().at(-1))}\n`));
const linesOnDisk = (of = path) => readFileSync(of, "utf8").split("\n").length - 1;

test("a sample holds only what came in its minute, and a restart continues after what was kept", async () => {
  const clock = simulatedClock();
  const history = keepHistory({ path, clock, read });
  clock.advance(0);
  accepted += 3;
  clock.advance(60_000);
  // The first minute after a start is no hole in the curve.
  expect(history.samples()).toMatchObject([{ accepted: 3 }]);
  accepted += 5;
  rejected += 2;
  for (let i = 0; i < 7; i++) latency.observeMs(20);
  clock.advance(60_000);
  clock.advance(60_000);
  expect(history.samples().slice(1)).toMatchObject([
    { accepted: 5, rejected: { TOKEN_INVALID: 2 }, to_disk_ms: { p50: 25, p99: 25 } },
    { accepted: 0, rejected: {}, to_disk_ms: null },
  ]);
  await until(() => linesOnDisk() === 3);
  history.stop();
  appendFileSync(path, '{"at":"2026-');
  const again = keepHistory({ path, clock, read });
  expect(again.samples()).toEqual(history.samples());
  clock.advance(60_000);
  await written(again);
  again.stop();
  const third = keepHistory({ path, clock, read });
  expect(third.samples()).toEqual(again.samples());
  third.stop();
});

test("a day is kept, and the file does not grow beyond two", async () => {
  const clock = simulatedClock();
  const history = keepHistory({ path, clock, read });
  for (let minute = 0; minute < 3_000; minute++) await clock.pass(60_000);
  expect(history.samples()).toHaveLength(1_440);
  await written(history);
  expect(linesOnDisk()).toBeLessThanOrEqual(2_880);
  history.stop();
});

test("what earlier runs left there goes but for the last day, however often it is restarted", async () => {
  const clock = simulatedClock();
  const first = keepHistory({ path, clock, read });
  clock.advance(60_000);
  await written(first);
  first.stop();
  writeFileSync(path, readFileSync(path, "utf8").repeat(5_000));
  const history = keepHistory({ path, clock, read });
  clock.advance(60_000);
  await written(history);
  history.stop();
  expect(linesOnDisk()).toBe(1_440);
});

test("what earlier runs left there is written anew until that succeeds", async () => {
  const clock = simulatedClock();
  mkdirSync(path);
  const history = keepHistory({ path, clock, read });
  clock.advance(120_000);
  await until(() => linesOnDisk(`${path}.new`) === 2);
  rmdirSync(path);
  clock.advance(60_000);
  await written(history);
  history.stop();
  expect(linesOnDisk()).toBe(3);
});
