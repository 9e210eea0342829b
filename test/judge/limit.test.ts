import type { Found } from "../../src/core/address.ts";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bucketsMax, createLimiter, keptRate, rateOf, type Rate } from "../../src/judge/limit.ts";
import { atHand } from "../kit/at-hand.ts";
import { aPolicy } from "../kit/builders.ts";

const backlogBytesMax = 1e9;

const of = atHand();

function rate(rps: number, burst = 20, backlogSeconds = 0, bytesMax = backlogBytesMax): Rate {
  const policy = aPolicy({
    rateLimitRps: rps,
    rateLimitBurst: burst,
    rateLimitBacklogSeconds: backlogSeconds,
  });
  const found = rateOf(policy, bytesMax);
  if (found === undefined) throw new Error("no limit");
  return found;
}

test("it lets through exactly what a bucket of tokens would", () => {
  const steps = fc.array(
    fc.record({ afterMs: fc.integer({ min: 0, max: 3000 }), key: fc.constantFrom("a", "b") }),
    {
      maxLength: 200,
    },
  );
  fc.assert(
    fc.property(
      steps,
      fc.constantFrom(1, 2, 4, 5, 0.5),
      fc.integer({ min: 1, max: 20 }),
      fc.constantFrom(0, 1, 60),
      (taken, rps, burst, backlogSeconds) => {
        const limiter = createLimiter();
        const depth = burst + backlogSeconds * rps;
        const buckets = new Map<string, { tokens: number; atMs: number }>();
        let nowMs = 17;
        for (const { afterMs, key } of taken) {
          nowMs += afterMs;
          const bucket = buckets.get(key) ?? { tokens: depth, atMs: nowMs };
          const tokens = Math.min(depth, bucket.tokens + ((nowMs - bucket.atMs) * rps) / 1000);
          const isWanted = tokens >= 1 - 1e-9;
          expect(limiter.take(of(key), nowMs, 0, rate(rps, burst, backlogSeconds))).toBe(isWanted);
          buckets.set(key, { tokens: isWanted ? tokens - 1 : tokens, atMs: nowMs });
        }
      },
    ),
  );
});

describe("a device that generates no more than its rate", () => {
  const policy = aPolicy();
  const dayMs = 86_400_000;

  test("is never limited, whatever outages, queues and orders come between, with the default settings", () => {
    const outage = fc.record({
      /** It generates for some time, then everything queued comes, at once or over a while. */
      awayMs: fc.integer({ min: 0, max: 7 * dayMs }),
      flushMs: fc.constantFrom(0, 1, 5_000, 600_000),
    });
    const share = fc.constantFrom(1, 0.5, 0.2);
    fc.assert(
      fc.property(fc.array(outage, { minLength: 1, maxLength: 3 }), share, (outages, part) => {
        const limiter = createLimiter();
        let [nowMs, generated, taken] = [0, 0, 0];
        const perMs = (policy.rateLimitRps * part) / 1000;
        for (const { awayMs, flushMs } of outages) {
          // One message stands for a thousand, with as many bytes; a property must be quick.
          nowMs += awayMs;
          generated += Math.floor(awayMs * perMs);
          const queued = Math.ceil((generated - taken) / 1000);
          for (let at = 0; at < queued; at++) {
            const atMs = nowMs + (flushMs * at) / queued;
            expect(limiter.take(of("d"), atMs, 300_000, thousandth)).toBe(true);
          }
          nowMs += flushMs;
          taken = generated;
        }
      }),
      { numRuns: 30 },
    );
  });

  /** The default rate, counted in thousands, of which each of three outages may round up to one more than it generated. */
  const one = rateOf(policy, 10_737_418_240 / 4);
  if (one === undefined) throw new Error("no limit by default");
  const thousandth: Rate = {
    ...one,
    messageMs: one.messageMs * 1000,
    messagesMs: one.messagesMs + 3 * 1000 * one.messageMs,
  };
});

describe("a device that floods", () => {
  test("has its backlog once, then its sustained rate", () => {
    const limiter = createLimiter();
    const limited = rate(5, 20, 60);
    const letThrough = (atMs: number, many: number) =>
      Array.from({ length: many }, () => limiter.take(of("d"), atMs, 100, limited)).filter(Boolean).length;
    expect(letThrough(0, 10_000)).toBe(320);
    expect(letThrough(10_000, 10_000)).toBe(50);
    expect(letThrough(11_000, 10_000)).toBe(5);
  });

  test("gets no more than the bytes of a backlog, and then those of the largest messages at its rate", () => {
    const limiter = createLimiter();
    const limited = rate(5, 20, 604_800, 1_000_000);
    const bytes = 8_192;
    let taken = 0;
    while (limiter.take(of("d"), 0, bytes, limited)) taken += bytes;
    expect(taken).toBeGreaterThan(1_000_000 - bytes);
    expect(taken).toBeLessThanOrEqual(1_000_000);
    for (let second = 1; second <= 10; second++) {
      const passed = Array.from({ length: 50 }, () => limiter.take(of("d"), second * 1000, bytes, limited));
      expect(passed.filter(Boolean).length).toBeGreaterThanOrEqual(5);
      expect(passed.filter(Boolean).length).toBeLessThanOrEqual(6);
    }
  });

  test("with the largest messages at its sustained rate is not limited by bytes, however small the spool", () => {
    const limiter = createLimiter();
    const limited = rate(5, 20, 604_800, 1);
    for (let at = 0; at < 1_000; at++) expect(limiter.take(of("d"), at * 200, 8_192, limited)).toBe(true);
  });

  test("does not regain its credit through a crowd of other devices, nor by further tries while it is limited", () => {
    const limiter = createLimiter();
    const limited = rate(1, 20, 1_000);
    while (limiter.take(of("flooder"), 0, 1, limited));
    // Of so many both generations are others', unless it is taken along.
    for (const crowd of [1, 2.1]) {
      for (let at = 0; at < crowd * bucketsMax; at++) limiter.take(of(`d${crowd}-${at}`), 0, 1, limited);
      expect(limiter.take(of("flooder"), 0, 1, limited)).toBe(false);
    }
    expect(limiter.size()).toBeLessThanOrEqual(2 * bucketsMax);
  });

  test("does not regain its credit while others speak in between", () => {
    const limiter = createLimiter();
    const limited = rate(5, 20, 60);
    const takes = Array.from({ length: 321 }, (_, at) => {
      for (const other of ["a", "b", "c"]) limiter.take(of(`${other}${at}`), 0, 1, limited);
      return limiter.take(of("flooder"), 0, 1, limited);
    });
    expect(takes.indexOf(false)).toBe(320);
  });
});

describe("memory", () => {
  test("buckets that are full again are forgotten", () => {
    const limiter = createLimiter();
    const limited = rate(5, 20);
    const fillMs = Math.max(limited.messagesMs, limited.bytesMs);
    for (let at = 0; at < 1000; at++) limiter.take(of(`d${at}`), 0, 0, limited);
    expect(limiter.size()).toBe(1000);
    limiter.take(of("x"), fillMs + 1, 0, limited);
    limiter.take(of("x"), 2 * fillMs + 2, 0, limited);
    expect(limiter.size()).toBeLessThanOrEqual(2);
  });

  test("in a fleet beyond that bound each keeps its bucket, if so many devices may be cached", () => {
    const devices = 2 * bucketsMax + 1;
    const limiter = createLimiter(devices);
    const limited = rate(5, 20, 604_800);
    const fleet = Array.from({ length: devices }, (_, at) => of(`d${at}`));
    const speak = () => fleet.every((one) => limiter.take(one, 0, 1, limited));
    expect(speak()).toBe(true);
    const buckets = new Set(fleet.map(({ bucket }) => bucket));
    expect(speak()).toBe(true);
    expect(buckets.size).toBe(devices);
    expect(fleet.every(({ bucket }) => buckets.has(bucket))).toBe(true);
  });

  test("of a flood of names that all owe much half a generation is taken along", () => {
    const limiter = createLimiter();
    const limited = rate(1, 20);
    for (let at = 0; at <= 2 * bucketsMax; at++) limiter.take(of(`d${at}`), 0, 1, limited);
    expect(limiter.size()).toBe(1.5 * bucketsMax + 1);
  });

  test("a flood of names takes bounded memory, and a device that sent little keeps its credit", () => {
    const limiter = createLimiter();
    const limited = rate(5, 20, 60);
    limiter.take(of("honest"), 0, 0, limited);
    for (let at = 0; at < 3 * bucketsMax; at++) limiter.take(of(`d${at}`), 0, 0, limited);
    expect(limiter.size()).toBeLessThanOrEqual(2 * bucketsMax);
    const passed = Array.from({ length: 319 }, () => limiter.take(of("honest"), 0, 0, limited));
    expect(passed.every(Boolean)).toBe(true);
  });
});

test("one that waited and is judged behind later ones of its device is not limited for that", () => {
  const limiter = createLimiter();
  for (const atMs of [60_000, 50_000, 55_000])
    expect(limiter.take(of("waited"), atMs, 100, rate(5))).toBe(true);
});

test("0 is no limit", () => {
  expect(rateOf(aPolicy({ rateLimitRps: 0 }), backlogBytesMax)).toBeUndefined();
});

test("of limited messages 10,000 payloads and 64 MiB are kept per device and day", () => {
  const limiter = createLimiter();
  const taken = (bytes: number, atMs: number) => {
    let many = 0;
    while (limiter.take(of(`of ${bytes}`), atMs, bytes, keptRate)) many++;
    return many;
  };
  expect([taken(100, 0), taken(8_192, 0), taken(1_048_576, 0)]).toEqual([10_000, 8_192, 64]);
  expect([taken(100, 3_600_000), taken(1_048_576, 3_600_000)]).toEqual([416, 2]);
});

test("of a generation that is forgotten nothing hangs off the address of a device that fell silent", () => {
  const slow = { messageMs: 200, messagesMs: 600_000, byteMs: 0.01, bytesMs: 600_000 };
  const limiter = createLimiter();
  const silent = { key: "acme/silent", bucket: undefined as Found | undefined };
  limiter.take(silent, 0, 100, slow);
  for (let turn = 1; turn <= 3; turn++)
    limiter.take({ key: "acme/other", bucket: undefined }, turn * 600_001, 100, slow);
  expect(silent.bucket?.home?.size).toBe(0);
});
