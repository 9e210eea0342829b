/**
 * Entries as rows: what goes into which table, for both stores.
 */
import type { Entry, Event, Reject } from "../core/entry.ts";
import { countedTenants } from "./counted-tenants.ts";

/** One row of quarantine_counters_minute to add. */
export interface RejectCount {
  /** ISO 8601, UTC, a whole minute. */
  readonly bucketMinute: string;
  readonly tenantId: string;
  readonly reason: string;
  cnt: number;
}

/** Events, and rejects that are mirrored. */
export function isRaw(entry: Entry): entry is Event | Reject {
  return entry.kind === "event" || (entry.kind === "reject" && entry.mirror === true);
}

/** Rejects whose payload is kept. */
export function isQuarantined(entry: Entry): entry is Reject {
  return entry.kind === "reject" && entry.payload !== "";
}

/** The payload for raw_events. A mirrored reject gets its two marker keys at the end, since a later key wins over the device's own. */
export function rawPayload(entry: Event | Reject): string {
  if (entry.kind === "event") return entry.payload;
  const marks = `"_rejected":true,"_reject_reason":${JSON.stringify(entry.reason)}}`;
  const payload = entry.payload.trim();
  if (payload === "" || /^\{\s*\}$/.test(payload)) return `{${marks}`;
  if (payload.startsWith("{")) return `${payload.slice(0, -1)},${marks}`;
  return `{"_payload":${payload},${marks}`;
}

/** Rejects by minute, tenant and reason. Sorted, so that two gateways lock these rows in the same order. */
export function countRejects(entries: readonly Entry[], tenants = countedTenants): RejectCount[] {
  const counts = new Map<string, RejectCount>();
  for (const entry of entries) if (entry.kind === "event") tenants.heard(entry.tenantId);
  for (const entry of entries) {
    if (entry.kind !== "reject") continue;
    const minute = Math.floor(entry.receivedMs / 60_000);
    const { reason } = entry;
    const tenantId = tenants.nameFor(entry.tenantId, minute, reason);
    const key = `${minute}\n${reason}\n${tenantId}`;
    const known = counts.get(key);
    if (known) known.cnt++;
    else counts.set(key, { bucketMinute: timeText(minute * 60_000, 0), tenantId, reason, cnt: 1 });
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count);
}

/** Texts of whole seconds, cached: the entries of a batch share a few, of arrival and of measurement. */
const secondTexts = new Map<number, string>();
const secondTextsMax = 64;
/** The one that was asked for last. */
let [lastSecond, lastSecondText] = [Number.NaN, ""];

function secondText(second: number): string {
  if (second === lastSecond) return lastSecondText;
  let text = secondTexts.get(second);
  if (text === undefined) {
    if (secondTexts.size >= secondTextsMax) secondTexts.clear();
    text = new Date(second * 1000).toISOString().slice(0, -4);
    secondTexts.set(second, text);
  }
  [lastSecond, lastSecondText] = [second, text];
  return text;
}

/** How each ms within a second is written, to the microsecond. */
const msTexts = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, "0")}000Z`);

/**
 * ISO 8601 in UTC, to the microsecond.
 * @param ms whole ms since the epoch @param ns 0…999999 within it
 */
export function timeText(ms: number, ns: number): string {
  const second = Math.floor(ms / 1000);
  if (ns < 1000) return `${secondText(second)}${msTexts[ms - second * 1000] ?? ""}`;
  const micros = (ms - second * 1000) * 1000 + Math.floor(ns / 1000);
  return `${secondText(second)}${String(micros).padStart(6, "0")}Z`;
}

export function eventTime(entry: Entry): string | null {
  return entry.eventMs === null ? null : timeText(entry.eventMs, entry.eventNs);
}
