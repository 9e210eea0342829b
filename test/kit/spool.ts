/** Spools in directories of their own, and entries to put into them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/core/clock.ts";
import type { Entry, Kind, Reject } from "../../src/core/entry.ts";
import type { CommitRecord } from "../../src/spool/sidecar.ts";
import type { Values } from "../../src/core/settings.ts";
import type { spoolSettings } from "../../src/spool/spool-settings.ts";
import { Spool } from "../../src/spool/spool.ts";
import { type SimulatedClock, simulatedClock } from "./clock.ts";

export type SpoolSettings = Values<typeof spoolSettings>;

export const defaultSpoolSettings: SpoolSettings = {
  whenFull: "hold",
  ageMaxSeconds: 0,
  lingerMs: 5,
  bytesMax: 1_000_000_000,
  freeBytesMin: 0,
  letterBytesMax: 1_000_000_000,
  letterAgeMaxDays: 0,
  redeliveryWindow: 100_000,
};

/** Directories and spools of one test file; `clear` removes them all. */
export function spoolKit() {
  const dirs: string[] = [];
  const open = new Set<Spool>();

  function dir(): string {
    const made = mkdtempSync(join(tmpdir(), "sluice-spool-"));
    dirs.push(made);
    return made;
  }

  return {
    dir,
    /** Opens one, in a new directory unless one is given. */
    spool(options: { dataDir?: string; clock?: Clock } & Partial<SpoolSettings> = {}): Spool {
      const { dataDir = dir(), clock = simulatedClock(), ...settings } = options;
      const spool = new Spool({ dataDir, settings: { ...defaultSpoolSettings, ...settings }, clock });
      open.add(spool);
      return spool;
    },
    close(spool: Spool): void {
      if (open.delete(spool)) spool.close();
    },
    clear(): void {
      for (const spool of open) spool.close();
      open.clear();
      for (const each of dirs.splice(0)) rmSync(each, { recursive: true, force: true });
    },
  };
}

/** So little room that what is settled goes at once. */
export const littleRoom = { bytesMax: 200_000_000 };

/** A minute in which the sink takes something each second: what it had before goes. */
export function aMinuteOn(spool: Spool, clock: SimulatedClock, sink: string): void {
  for (let second = 0; second < 62; second++) {
    put(spool, 1);
    spool.setCursor(sink, settledTo(spool.head));
    clock.advance(1_000);
  }
}

export const emptyRecord: CommitRecord = { books: new Map() };

/** Members to change, of any kind; the test makes sure that they fit together. */
export type EntryChanges = Partial<{ [K in keyof Reject]: Entry[K] }>;

/** An accepted event, with changes. */
export function anEntry<K extends Kind = "event">(
  changes: EntryChanges & { readonly kind?: K } = {},
): Extract<Entry, { kind: K }> {
  return {
    seq: 0,
    kind: "event",
    receivedMs: Date.UTC(2026, 10, 21),
    topic: "tenant/acme/device/dev-0001/telemetry",
    tenantId: "acme",
    deviceId: "dev-0001",
    msgType: "telemetry",
    siteId: "lab-1",
    eventMs: Date.UTC(2026, 10, 21),
    eventNs: 0,
    reason: null,
    detail: null,
    payload: '{"metrics":{"temp_c":24.3}}',
    tokenHash: null,
    returned: null,
    ...changes,
  } as unknown as Extract<Entry, { kind: K }>;
}

/** `n` entries whose payload says which they are, counted from `from`. */
export function entries(n: number, from = 1, changes: EntryChanges = {}): Entry[] {
  return Array.from({ length: n }, (_, i) => anEntry({ payload: `{"n":${from + i}}`, ...changes }));
}

/** A payload of this many bytes that no compression makes smaller. */
export function incompressible(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(Math.min(65_536, Math.ceil((bytes * 3) / 4))));
  return `{"x":"${Buffer.from(random).toString("base64").slice(0, bytes)}"}`;
}

/** What an entry says: without its address, which comes along if it is at hand. */
export function plain<E extends Entry>(entry: E): E {
  return { ...entry, address: undefined };
}

/** Everything a spool holds from `seq` on. */
export function readAll(spool: Pick<Spool, "read" | "head">, seq = 1): Entry[] {
  const all: Entry[] = [];
  for (let at = seq; at <= spool.head;) {
    const some = spool.read(at);
    if (some.length === 0) break;
    all.push(...some.map(plain));
    at = (some.at(-1)?.seq ?? at) + 1;
  }
  return all;
}

/** A sink that has settled everything up to `seq`. */
export function settledTo(seq: number, changes: Partial<ReturnType<Spool["cursorOf"]>> = {}) {
  const none = { start: 0, ignored: 0, refused: 0, skipped: 0, detours: new Map() };
  return { ...none, seq, delivered: seq, ...changes };
}

/** Appends groups of these sizes. */
export function put(spool: Spool, ...sizes: number[]): void {
  for (const size of sizes) spool.append(entries(size, spool.head + 1), emptyRecord);
}

/** `n` entries whose payloads take `bytes` on disk each. */
export function bulky(n: number, bytes: number): Entry[] {
  return entries(n).map(() => anEntry({ payload: incompressible(bytes) }));
}

/** The seqs from `from` on. */
export function seqsIn(spool: Spool, from = 1): number[] {
  return readAll(spool, from).map(({ seq }) => seq);
}
