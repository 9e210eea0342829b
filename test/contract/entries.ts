/** Entries for the suites of sinks. */
import { isFor, type Entry, type Reject } from "../../src/core/entry.ts";
import type { Delivery, Outcome, Sink, Totals } from "../../src/core/sink.ts";
import type { EntryChanges } from "../kit/spool.ts";

export const noTotals: Totals = { delivered: 0, ignored: 0, refused: 0, skipped: 0 };

/** A telemetry event whose metric `n` is its seq. */
export function event(seq: number, more: EntryChanges = {}): Entry {
  return {
    seq,
    kind: "event",
    receivedMs: 1_789_000_000_000 + seq,
    topic: "tenant/acme/device/d1/telemetry",
    tenantId: "acme",
    deviceId: "d1",
    msgType: "telemetry",
    siteId: "lab-1",
    eventMs: 1_789_000_000_000 + seq,
    eventNs: 123_456,
    reason: null,
    detail: null,
    payload: `{"site_id":"lab-1","seq":${seq},"metrics":{"n":${seq}}}`,
    tokenHash: null,
    returned: null,
    ...more,
  } as Entry;
}

/** Telemetry with these metrics. */
export function reading(
  seq: number,
  metrics: Readonly<Record<string, unknown>>,
  more: EntryChanges = {},
): Entry {
  return event(seq, { payload: JSON.stringify({ metrics }), ...more });
}

export function reject(seq: number, more: EntryChanges = {}): Reject {
  return event(seq, { kind: "reject", reason: "TOKEN_INVALID", ...more }) as Reject;
}

export function deferred(seq: number): Entry {
  return event(seq, { kind: "deferred", reason: "REGISTRY_UNAVAILABLE", tokenHash: "ab".repeat(32) });
}

export function events(first: number, last: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, i) => event(first + i));
}

/** Of now: fakes keep to a retention period as the real servers do. */
export function eventsOfNow(first: number, last: number): Entry[] {
  const nowMs = Date.now();
  return events(first, last).map((entry) => {
    const atMs = nowMs + entry.seq;
    return { ...entry, receivedMs: atMs, eventMs: atMs };
  });
}

/** What becomes of `n` entries that are taken. */
export const all = (n: number): Outcome => ({ delivered: n, ignored: 0, refused: 0 });

/** A delivery that remembers what was refused. */
export function delivery(
  entries: readonly Entry[],
  more: Partial<Delivery> = {},
): Delivery & { refused: Map<number, string> } {
  const refused = new Map<number, string>();
  return {
    entries,
    epoch: "epoch-1",
    before: noTotals,
    signal: new AbortController().signal,
    aside: new Map(),
    later: () => [],
    ...more,
    refuse(refusals) {
      for (const { entry, why } of refusals) refused.set(entry.seq, why);
    },
    refused,
  };
}

/** Hands entries over as the drain does, one lane at a time. Entries without a lane are ignored. */
export async function deliverAll(
  sink: Sink,
  entries: readonly Entry[],
  more: Parameters<typeof delivery>[1] = {},
): Promise<{ outcome: Outcome; refused: Map<number, string> }> {
  const lanes = Map.groupBy(entries, (entry) => {
    if (!sink.positions && !isFor(sink.name, entry)) return null;
    return sink.lane ? sink.lane(entry) : "";
  });
  const total = { delivered: 0, ignored: lanes.get(null)?.length ?? 0, refused: 0 };
  const refused = new Map<number, string>();
  lanes.delete(null);
  for (const lane of lanes.values()) {
    const given = delivery(lane, more);
    const outcome = await sink.deliver(given);
    total.delivered += outcome.delivered;
    total.ignored += outcome.ignored;
    total.refused += outcome.refused;
    for (const [seq, why] of given.refused) refused.set(seq, why);
  }
  return { outcome: total, refused };
}

export function plus(a: Totals, b: Outcome): Totals {
  return {
    delivered: a.delivered + b.delivered,
    ignored: a.ignored + b.ignored,
    refused: a.refused + b.refused,
    skipped: a.skipped,
  };
}
