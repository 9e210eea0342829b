/**
 * InfluxDB is away for an hour of simulated time while messages go on, then comes back: what the two drains of one
 * spool do. The spool makes its entries as they are read, so that millions cost neither disk nor memory, and InfluxDB
 * is a `fetch` that fails or accepts everything.
 */
import { gunzipSync } from "node:zlib";
import type { Entry } from "../../src/core/entry.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { Drain } from "../../src/drain/drain.ts";
import type { DrainedSpool } from "../../src/drain/drained-spool.ts";
import type { Sink } from "../../src/core/sink.ts";
import { event } from "../contract/entries.ts";
import { simulatedClock } from "./clock.ts";
import { openInflux } from "./influxsink.ts";
import { settledTo } from "./spool.ts";

export interface HourAway {
  readonly spooled: number;
  /** As the hour ends. */
  readonly other: ReturnType<Drain["stats"]>;
  /** Requests that failed in the hour. */
  readonly failures: number;
  /** In the end. */
  readonly influx: ReturnType<Drain["stats"]>;
  /** Different messages that arrived. */
  readonly arrived: number;
  /** Real time from the return of InfluxDB until all was there. */
  readonly drainMs: number;
}

export async function hourAway({
  perSecond,
  tenants,
}: {
  perSecond: number;
  tenants: number;
}): Promise<HourAway> {
  const clock = simulatedClock();
  const seconds = 3_600;
  const spool = endlessSpool((seq) =>
    event(seq, { tenantId: `t${seq % tenants}`, deviceId: `d${seq % 1_000}` }),
  );
  const seen = new Uint8Array((seconds + 60) * perSecond + 1);
  let away = true;
  let failures = 0;
  const influx = openInflux(
    { url: "http://influx.invalid", api: "v3", timeoutMs: 10_000 },
    clock,
    async (_, init) => {
      if (away) {
        failures += 1;
        throw new TypeError("connection refused");
      }
      for (const [, seq] of textOf(init.body).matchAll(/ seq=(\d+)i/g)) seen[Number(seq)] = 1;
      return new Response(null, { status: 204 });
    },
  );
  const drains = [influx.sink, memory].map(
    (sink) => new Drain({ sink, spool, clock, log: silentLog, random: () => 0.5 }),
  );
  const [toInflux, toOther] = drains as [Drain, Drain];
  for (const drain of drains) drain.start();
  for (let second = 0; second < seconds; second += 1) {
    spool.append(perSecond);
    await clock.pass(1_000);
  }
  const other = toOther.stats();
  away = false;
  const began = performance.now();
  // New messages go on coming while the backlog goes out.
  for (let second = 0; second < 60; second += 1) {
    spool.append(perSecond);
    await clock.pass(1_000);
  }
  for (let second = 0; second < 3_600 && toInflux.stats().waiting > 0; second += 1) await clock.pass(1_000);
  const drainMs = performance.now() - began;
  const stats = toInflux.stats();
  for (const drain of drains) {
    const stopped = drain.stop(1_000);
    await clock.pass(2_000);
    await stopped;
  }
  const arrived = seen.reduce((sum, one) => sum + one, 0);
  return { spooled: spool.head, other, failures, influx: stats, arrived, drainMs };
}

function textOf(body: RequestInit["body"]): string {
  if (!(body instanceof Uint8Array)) return "";
  return new TextDecoder().decode(body[0] === 0x1f ? gunzipSync(body) : body);
}

/** A sink that always works. */
const memory: Sink = {
  name: "other",
  batchMax: 10_000,
  batchBytesMax: 5_000_000,
  lingerMs: 0,
  deadlineMs: 1_000,
  whenFull: "hold",
  deliver: async ({ entries }) => ({ delivered: entries.length, ignored: 0, refused: 0 }),
  probe: async () => "always there",
  close: async () => {},
};

function endlessSpool(make: (seq: number) => Entry): DrainedSpool & { append(n: number): void } {
  const listeners: (() => void)[] = [];
  const states = new Map<string, ReturnType<DrainedSpool["cursorOf"]>>();
  let head = 0;
  return {
    get head() {
      return head;
    },
    first: 1,
    epochs: [{ epoch: "epoch-1", first: 1 }],
    startedAt: 1,
    beginEpoch() {
      throw new Error("nobody else writes as this gateway");
    },
    deadLetters: { putAll() {}, takeBack() {} },
    read: (seq) => Array.from({ length: Math.min(1_000, head - seq + 1) }, (_, i) => make(seq + i)),
    onAppend: (listener) => void listeners.push(listener),
    cursorOf: (sink) => states.get(sink) ?? settledTo(0),
    setCursor: (sink, state) => void states.set(sink, state),
    append(n) {
      head += n;
      for (const listener of listeners) listener();
    },
  };
}
