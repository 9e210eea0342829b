/**
 * A gateway's first half in memory: the real intake, judge, books and redelivery window, with a registry and a disk
 * that misbehave at random. The registry answers late or not at all; the disk refuses a group now and then. Time is
 * simulated.
 */
import { Books } from "../../src/intake/books.ts";
import type { Deferred, Entry } from "../../src/core/entry.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { Message } from "../../src/core/message.ts";
import { Ingest } from "../../src/intake/ingest.ts";
import { KnownMessages } from "../../src/intake/known.ts";
import type { Answer } from "../../src/registry/flights.ts";
import { createJudge, type Policy } from "../../src/judge/judge.ts";
import { type DeviceAuth, deviceKey } from "../../src/core/device.ts";
import type { Router } from "../../src/judge/mapping/routes.ts";
import { RedeliveryWindow } from "../../src/spool/redelivery.ts";
import { RetainedTopics } from "../../src/spool/retained.ts";
import type { Random } from "../../src/simulator/random.ts";
import { aPolicy } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";
import { devices } from "./world.ts";

export const startMs = Date.UTC(2026, 10, 21);

export interface Site {
  /** Takes a message; for one judged at once, its entry is made before this returns. */
  receive(message: Message): void;
  /** The registry answers its queries, and deferred messages are judged again. */
  registryAnswers(): void;
  /** Advances time, so that groups close. */
  pass(ms: number): void;
  /** Empties everything, with a disk that takes all. */
  end(): void;
  nowMs(): number;
  readonly books: Books;
  readonly ingest: Ingest;
  /** Counts: messages that came back to be acknowledged; entries and fingerprints of packets written. */
  settled(): number;
  written(): number;
  packets(): number;
}

const policies: readonly [Policy, ...Policy[]] = [
  aPolicy({ mode: "DEV", storeRejects: true, mirrorRejects: true, rateLimitRps: 0 }),
  aPolicy({ mode: "DEV", storeRejects: true, rateLimitRps: 0 }),
  aPolicy({ mode: "DEV", storeRejects: true, rateLimitRps: 0, payloadBytesMax: 300_000 }),
  aPolicy({ mode: "DEV", storeRejects: true, rateLimitRps: 0, payloadBytesMax: 300 }),
  aPolicy({ mode: "DEV", storeRejects: true, rateLimitRps: 0, tsFutureSecondsMax: 60, tsAgeDaysMax: 365 }),
  aPolicy({ rateLimitRps: 0, tsAgeDaysMax: 365, tsOutOfRange: "arrival" }),
  aPolicy({ rateLimitRps: 1, rateLimitBurst: 3, rateLimitBacklogSeconds: 0 }),
];

/** The devices that the registry knows, and the mappings in force. */
export interface World {
  readonly devices: readonly DeviceAuth[];
  readonly routeOf?: Router;
}

/** @param wrote is called for each group that the disk takes */
export function openSite(
  chance: Random,
  wrote: (entries: readonly Entry[]) => void,
  world: World = { devices: devices.map(({ row }) => row) },
): Site {
  const clock = simulatedClock(startMs);
  const rows = new Map(world.devices.map((row) => [deviceKey(row.tenantId, row.deviceId), row]));
  const asked: (() => void)[] = [];
  const deferred: Deferred[] = [];
  const books = new Books(new Map());
  let settled = 0;
  let written = 0;
  let packets = 0;
  let diskFails = 0.01;
  const find = (tenantId: string, deviceId: string): DeviceAuth | null =>
    rows.get(deviceKey(tenantId, deviceId)) ?? null;

  const judge = createJudge({
    policy: () => policies[Math.floor(clock.wallMs() / 1000) % policies.length] ?? policies[0],
    auth: {
      get: (tenantId, deviceId) =>
        chance.next() < 0.95 ? (find(tenantId, deviceId) ?? undefined) : undefined,
      mayReread: () => chance.next() < 0.1,
    },
    requireToken: true,
    backlogBytesMax: 1e9,
    routeOf: world.routeOf,
    clock: { ...clock, isTimeKnown: () => Math.floor(clock.wallMs() / 1000) % 11 > 0 },
  });
  const ingest = new Ingest({
    bytesMax: 64 * 1024 * 1024,
    judge,
    books,
    known: new KnownMessages({
      window: new RedeliveryWindow(1_000),
      retained: new RetainedTopics([]),
      hasOwnIdentity: judge.hasOwnIdentity,
    }),
    clock,
    log: silentLog,
    lingerMs: 5,
    deferredBytesMax: 300,
    isStranger: () => chance.next() < 0.5,
    resolve({ tenantId, deviceId }, done) {
      const answer: Answer = chance.next() < 0.05 ? "unavailable" : find(tenantId, deviceId);
      asked.push(() => done(answer));
    },
    append(entries, record) {
      if (chance.next() < diskFails) throw new Error("the disk is full");
      packets += (record.packets?.length ?? 0) / 2;
      for (const entry of entries) entry.seq = ++written;
      wrote(entries);
    },
  });

  ingest.onDeferred((entries) => void deferred.push(...entries));
  const port = ingest.port((messages) => void (settled += messages.length));

  function registryAnswers(): void {
    for (const answer of asked.splice(0)) answer();
    const waiting = deferred.splice(0);
    if (waiting.length === 0) return;
    const judged = waiting.map((entry) =>
      judge.rejudge(
        { ...entry, eventMs: entry.eventMs ?? entry.receivedMs },
        find(entry.tenantId, entry.deviceId),
      ),
    );
    ingest.rejudged(waiting, judged, () => {});
  }

  return {
    receive: (message) => port.receive(message),
    registryAnswers,
    pass: (ms) => clock.advance(ms),
    nowMs: clock.wallMs,
    end() {
      diskFails = 0;
      registryAnswers();
      clock.advance(1_000);
      registryAnswers();
      clock.advance(1_000);
    },
    books,
    ingest,
    settled: () => settled,
    written: () => written,
    packets: () => packets,
  };
}
