/**
 * Everything between the wire and the stores, fed with generated messages: nothing throws, every promise about an
 * entry holds, each store's format gives back what went in, and the books balance. FUZZ_RUNS messages (1,000,000 for
 * the full run) from FUZZ_SEED; a failure names the seed and the number of the message, which reproduce it. What a
 * run has found is an example in seeds.test.ts.
 */
import { expect, test } from "bun:test";
import type { Entry } from "../../src/core/entry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { explain, silentLog } from "../../src/core/log/log.ts";
import { reasons } from "../../src/judge/reasons.ts";
import { seededRandom } from "../../src/simulator/random.ts";
import { createTypeMap } from "../../src/sink/influx/types.ts";
import { type Generated, generate } from "./generate.ts";
import { brokenPromise } from "./invariants.ts";
import { openSite, startMs } from "./site.ts";
import { throughCopy, throughLine, throughSpool } from "./stores.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? 100_000);
const seed = Number(process.env["FUZZ_SEED"] ?? 1);
/** Messages that may be sent again with DUP set. */
const againMax = 500;

test(`${runs} messages of seed ${seed}`, () => {
  const found = run();
  // Enough of everything happened for a meaningful run.
  const codes = reasons
    .map(({ code }) => code)
    .filter((code) => !["JUDGE_FAULT", "LOST_TO_DAMAGE", "MAPPING_MISFIT"].includes(code));
  const wanted = ["event", "deferred", "written", "empty", "refused", ...codes];
  expect(wanted.filter((what) => !found.has(what))).toEqual([]);
  expect(found.get("event") ?? 0).toBeGreaterThan(runs / 10);
  expect(found.get("duplicate") ?? 0).toBeGreaterThan(0);
}, 3_600_000);

/** @returns how often each outcome was seen */
function run(): Map<string, number> {
  const found = new Map<string, number>();
  const seen = (what: string) => found.set(what, (found.get(what) ?? 0) + 1);
  /** Messages without a final entry yet, by time of arrival, which no two share. */
  const open = new Map<number, Generated>();
  let broken: unknown;
  const check = checker(open, seen);
  const chance = seededRandom(seed);
  const site = openSite(seededRandom(seed + 1), (entries) => {
    try {
      check(entries);
    } catch (error) {
      // An error thrown from here would be mistaken for a full disk.
      broken ??= error;
    }
  });
  const before: Generated[] = [];
  let acknowledged = 0;
  for (let n = 0; n < runs; n++) {
    const receivedMs = startMs + n;
    const again = chance.next() < 0.02 ? before[chance.whole(0, before.length - 1)] : undefined;
    const next = again ? redelivered(again, receivedMs) : generate(chance, receivedMs);
    before[n % againMax] = next;
    open.set(receivedMs, next);
    if (next.message.qos > 0) acknowledged++;
    site.receive(next.message);
    if (chance.next() < 0.01) site.registryAnswers();
    if (chance.next() < 0.02) site.pass(receivedMs - site.nowMs());
    if (broken === undefined && !site.ingest.inMemory && !site.books.balancedWith(0))
      broken = new Error("the books do not balance");
    if (broken !== undefined)
      throw new Error(`seed ${seed}, at message ${n}: ${explain(broken)}`, { cause: broken });
  }
  site.end();
  const { received, duplicate } = site.books.totals();
  found.set("duplicate", duplicate);
  // Each message came back to be acknowledged, and has one final entry or was a duplicate.
  expect([broken, received, site.settled(), open.size]).toEqual([undefined, runs, runs, duplicate]);
  expect(site.packets()).toBe(acknowledged - duplicate);
  expect([site.books.balancedWith(0), site.books.awaiting, site.books.spooled]).toEqual([
    true,
    0,
    site.written(),
  ]);
  return found;
}

const redelivered = ({ message, device }: Generated, receivedMs: number): Generated => ({
  device,
  message: { ...message, dup: message.qos > 0, receivedMs },
});

/** Checks a group that the disk has taken, and removes its messages from the open ones. */
function checker(open: Map<number, Generated>, seen: (what: string) => void) {
  const types = createTypeMap({
    path: "/dev/null/none",
    integerFields: ["seq", "m0"],
    reserved: ["time", "tenant_id", "device_id", "site_id"],
    clock: systemClock,
    log: silentLog,
  });
  return (entries: readonly Entry[]) => {
    throughSpool(entries);
    throughCopy(entries);
    for (const entry of entries) {
      const source = open.get(entry.receivedMs);
      const why = source === undefined ? "an entry of no message" : brokenPromise(entry, source);
      if (why !== null)
        throw new Error(
          `${why}: ${JSON.stringify(entry)} of ${source && JSON.stringify({ ...source.message, payload: Buffer.from(source.message.payload).toString() })}`,
        );
      seen(entry.kind === "reject" ? (entry.reason ?? "") : entry.kind);
      if (entry.kind === "deferred") seen(entry.reason ?? "");
      if (entry.kind === "event" && entry.detail !== null) seen("TELEMETRY_WITHOUT_METRICS");
      if (entry.kind !== "deferred") open.delete(entry.receivedMs);
      else if (source) open.set(entry.receivedMs, { ...source, waited: true });
      if (entry.kind === "event" && /^(telemetry|heartbeat)$/.test(entry.msgType ?? ""))
        seen(throughLine(entry, types.table(entry.tenantId ?? "", entry.msgType ?? "")));
    }
  };
}
