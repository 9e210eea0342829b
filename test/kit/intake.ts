/**
 * An intake over a real spool, with a judge and a registry that a test controls. The judge decides by the payload:
 * `{"n":7}` is accepted if its device may send, `{"n":7,"bad":true}` is rejected. A topic whose device is `a+b` makes
 * one event of each.
 */
import { cpSync } from "node:fs";
import type { Deferred, Entry, Event, Reject } from "../../src/core/entry.ts";
import { sleep } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { Message } from "../../src/core/message.ts";
import { Books } from "../../src/intake/books.ts";
import { Ingest } from "../../src/intake/ingest.ts";
import { KnownMessages } from "../../src/intake/known.ts";
import type { Answer } from "../../src/registry/flights.ts";
import type { Pending, Several } from "../../src/judge/contract.ts";
import type { DeviceAuth } from "../../src/core/device.ts";
import { Rejudge } from "../../src/intake/rejudge.ts";
import { RedeliveryWindow } from "../../src/spool/redelivery.ts";
import { RetainedTopics } from "../../src/spool/retained.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { aDevice, keyed, type TestMessage } from "./builders.ts";
import { simulatedClock } from "./clock.ts";
import { anEntry, readAll, type spoolKit } from "./spool.ts";

/** What a registry knows: devices by id; those it does not know are not registered. */
export interface FakeRegistry {
  available: boolean;
  readonly devices: Set<string>;
  /** How often it was queried for deferred messages. */
  finds: number;
  /** How long it takes for that; absent: no time. */
  findMs?: number;
}

/** One that answers. */
export const aRegistry = (devices: readonly string[] = ["a", "b", "c"]): FakeRegistry => ({
  available: true,
  devices: new Set(devices),
  finds: 0,
});

type Kit = ReturnType<typeof spoolKit>;

export function intake(kit: Kit, registry: FakeRegistry, dataDir = kit.dir(), bytesMax = 1_000_000_000) {
  const clock = simulatedClock();
  const spool: Spool = kit.spool({ dataDir, clock, bytesMax, redeliveryWindow: 1_000 });
  spool.keepFor(["sink"]);
  spool.setCursor("sink", spool.cursorOf("sink"));
  const books = new Books(spool.sidecar.books());
  const known = new KnownMessages({
    window: new RedeliveryWindow(1_000, spool.sidecar.packets()),
    retained: new RetainedTopics(spool.sidecar.retained()),
    hasOwnIdentity: saysWhen,
  });
  const cached = new Set<string>();
  const waiting: { pending: Pending; done: (answer: Answer) => void }[] = [];
  const durable: Message[] = [];
  const state = {
    full: false,
    /** How long it takes to accept a message. */
    acceptMs: 0,
    /** Groups that a full spool did not take, and how long it took for each. */
    refusals: 0,
    refusalMs: 0,
    onDurable: undefined as ((messages: readonly Message[]) => void) | undefined,
    isTimeKnown: true,
    correctionMs: undefined as number | undefined,
  };

  const judge = {
    judge(message: Message): Entry | Pending | Several {
      const devices = namesIn(message);
      const all = devices.map((deviceId) => judge.one({ ...entryOf(message), deviceId }));
      return devices.length > 1 ? { several: all } : all[0]!;
    },
    one(entry: Event): Entry | Pending {
      if (entry.payload.includes('"bad":true')) return { ...entry, kind: "reject", reason: "BAD" };
      if (entry.deviceId === "clockless" && !state.isTimeKnown)
        return { ...entry, kind: "deferred", reason: "CLOCK_NOT_SET", eventMs: null };
      if (!cached.has(entry.deviceId)) return pendingOf(entry);
      clock.spend(state.acceptMs);
      return entry;
    },
    resume(pending: Pending, answer: Answer | "crowded") {
      clock.spend(state.acceptMs);
      return verdictOf(pending.candidate as unknown as Event, answer);
    },
    rejudge: (entry: Deferred, answer: DeviceAuth | null) =>
      verdictOf(anEntry({ ...entry, kind: "event", seq: 0 }), answer) as Event | Reject,
    reread: (entry: Reject) => ({ devices: [], parts: () => [entry], judge: () => [entry] }),
    mappingOf: () => undefined,
    hasOwnIdentity: saysWhen,
    devicesOf: (message: Message) => namesIn(message).map((deviceId) => `acme/${deviceId}`),
  };
  const ingest: Ingest = new Ingest({
    bytesMax: 64 * 1024 * 1024,
    judge,
    books,
    known,
    clock,
    log: silentLog,
    lingerMs: 5,
    deferredBytesMax: bytesMax / 4,
    isStranger: ({ deviceId }) => deviceId.startsWith("stranger"),
    resolve: (pending, done) => waiting.push({ pending, done }),
    append(entries, record) {
      if (state.full) {
        state.refusals++;
        clock.spend(state.refusalMs);
        throw new Error("the spool is full");
      }
      spool.append(entries, record);
    },
  });
  const port = ingest.port((messages) => {
    durable.push(...messages);
    state.onDurable?.(messages);
  });
  const rejudge = new Rejudge({
    spool,
    books,
    judge,
    ingest,
    registry: {
      async find(ids) {
        registry.finds++;
        if (registry.findMs !== undefined) await sleep(clock, registry.findMs);
        if (!registry.available) return Promise.reject(new Error("registry is away"));
        // A registry logs the ids that it cannot look up: what an entry holds besides is not for the log.
        const isBare = ids.every((id) => Object.keys(id).toSorted().join() === "deviceId,tenantId");
        if (!isBare) return Promise.reject(new Error("more than the ids of a device"));
        return Promise.resolve(
          ids.filter((id) => registry.devices.has(id.deviceId)).map((id) => aDevice({ ...id })),
        );
      },
    },
    clock: { ...clock, isTimeKnown: () => state.isTimeKnown, correctionMs: () => state.correctionMs },
    log: silentLog,
  });

  /** Answers the look-ups that wait, oldest first, from the registry. */
  function answerLookups(count = waiting.length): void {
    for (const { pending, done } of waiting.splice(0, count)) {
      const isRegistered = registry.devices.has(pending.deviceId);
      if (registry.available && isRegistered) cached.add(pending.deviceId);
      done(
        !registry.available ? "unavailable" : isRegistered ? aDevice({ deviceId: pending.deviceId }) : null,
      );
    }
  }

  return {
    dataDir,
    clock,
    spool,
    books,
    ingest,
    port,
    rejudge,
    registry,
    cached,
    waiting,
    durable,
    state,
    answer: answerLookups,
    /** Whether all counts agree, with one another and with the disk. */
    balanced: () =>
      books.balancedWith(ingest.inMemory) && spool.head === books.spooled - ingest.openEntries.length,
    /** What was decided, in the order of the disk: the `n` of each event or reject, by device. */
    decided(): Map<string, number[]> {
      const byDevice = new Map<string, number[]>();
      for (const entry of readAll(spool, spool.first)) {
        if (entry.kind === "deferred") continue;
        const list = byDevice.get(entry.deviceId ?? "") ?? [];
        byDevice.set(entry.deviceId ?? "", list);
        list.push(numberOf(entry.payload));
      }
      return byDevice;
    },
  };
}

/** What a gateway finds that starts after this one has died at this moment. */
export function afterCrash(kit: Kit, part: ReturnType<typeof intake>) {
  const dataDir = kit.dir();
  cpSync(part.dataDir, dataDir, { recursive: true });
  return intake(kit, part.registry, dataDir);
}

export const numbers = (messages: readonly Message[]) => messages.map(({ payload }) => numberOf(payload));

export function numberOf(payload: string | Uint8Array): number {
  const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
  return (JSON.parse(text) as { n: number }).n;
}

export function aDeviceMessage(
  n: number,
  deviceId: string,
  changes: Partial<TestMessage> = {},
  bad = false,
): TestMessage {
  return {
    ...keyed,
    topic: `tenant/acme/device/${deviceId}/telemetry`,
    payload: new TextEncoder().encode(JSON.stringify(bad ? { n, bad } : { n })),
    qos: 1,
    dup: false,
    retained: false,
    sender: "",
    packetId: n,
    receivedMs: 1_000 + n,
    ...changes,
  };
}

function saysWhen({ payload }: Message, byTime = false): boolean {
  const { ts, seq } = JSON.parse(new TextDecoder().decode(payload)) as { ts?: unknown; seq?: unknown };
  return (ts ?? (byTime ? null : seq) ?? null) !== null;
}

function namesIn({ topic }: Message): string[] {
  return (topic.split("/")[3] ?? "").split("+");
}

function entryOf({ topic, payload, receivedMs }: Message): Event {
  const deviceId = topic.split("/")[3] ?? "";
  return anEntry({ topic, deviceId, receivedMs, payload: new TextDecoder().decode(payload) });
}

function pendingOf(entry: Event): Pending {
  const { tenantId, deviceId, siteId } = entry;
  return {
    pending: true,
    key: `${tenantId}/${deviceId}`,
    tenantId,
    deviceId,
    siteId,
    candidate: entry as unknown as Pending["candidate"],
  };
}

function verdictOf(entry: Event, answer: Answer | "crowded"): Entry {
  if (answer === "crowded") return { ...entry, kind: "reject", reason: "TOO_MANY_STRANGERS" };
  if (answer === "unavailable") return { ...entry, kind: "deferred", reason: "REGISTRY_UNAVAILABLE" };
  if (answer === null) return { ...entry, kind: "reject", reason: "UNREGISTERED_DEVICE" };
  return { ...entry, kind: "event", reason: null };
}
