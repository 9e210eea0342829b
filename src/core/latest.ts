/**
 * The latest of each device and metric among some entries: for the Redis sink, which so asks once per device and batch (five
 * messages of a device cost it little more than one), and for the look-up of latest values in the tables.
 *
 * The order is event time, cut off at the arrival, for a device's clock may be ahead but its reading is not; then seq. It must be
 * the order of the sink's script (sink/redis/scripts.ts), too.
 */
import type { Event } from "./entry.ts";
import { isObject } from "./text/is-object.ts";
import { parseDigits } from "./text/json-digits.ts";
import { skeletonOf } from "./text/json-scan.ts";

/** A metric's value, which the entry brought. */
interface Value {
  readonly entry: Event;
  readonly value: unknown;
}

export interface Latest {
  readonly name: string;
  newest: Event;
  receivedMs: number;
  /** What existing readers know as a reading's metadata: datatype_id and the like. */
  datatype: Datatype | undefined;
  readonly values: Map<string, Value>;
}

interface Datatype {
  readonly entry: Event;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type Names = (tenantId: string, deviceId: string) => string;

/** Of one device after the other, each made when it is asked for: the values of a whole batch would be in memory otherwise. */
export function* coalesce(entries: readonly Event[], names: Names): Generator<Latest> {
  /** By tenant, then by id: to make the name of each entry cost more than to find its device. */
  const tenants = new Map<string, Map<string, number>>();
  /** Of each entry: where the one before it of its device is; -1: there is none. */
  const before = new Int32Array(entries.length);
  for (const [at, { tenantId, deviceId }] of entries.entries()) {
    let last = tenants.get(tenantId);
    if (last === undefined) tenants.set(tenantId, (last = new Map()));
    before[at] = last.get(deviceId) ?? -1;
    last.set(deviceId, at);
  }
  for (const last of tenants.values())
    for (const at of last.values()) yield latestOf(entries, before, at, names);
}

/** From the last entry to the first: what comes later is newer in general, so that most of what is older has nothing to say. */
function latestOf(entries: readonly Event[], before: Int32Array, last: number, names: Names): Latest {
  const newest = entries[last] as Event;
  const { tenantId, deviceId, receivedMs } = newest;
  const name = names(tenantId, deviceId);
  const device: Latest = { name, newest, receivedMs, datatype: undefined, values: new Map() };
  take(device, newest);
  for (let at = before[last] ?? -1; at >= 0; at = before[at] ?? -1) add(device, entries[at] as Event);
  return device;
}

function add(device: Latest, entry: Event): void {
  if (entry.receivedMs > device.receivedMs) device.receivedMs = entry.receivedMs;
  if (!isOlder(entry, device.newest)) device.newest = entry;
  // Of one form it has no other metrics than the newest, and to read them takes longer than all else.
  else if (entry.form !== undefined && entry.form === device.newest.form) return;
  take(device, entry);
}

function take(device: Latest, entry: Event): void {
  const { metrics, metadata } = contents(entry.payload);
  if (isObject(metadata) && !(device.datatype && isOlder(entry, device.datatype.entry)))
    device.datatype = { entry, fields: metadata };
  if (!isObject(metrics)) return;
  const { values } = device;
  let exact: Readonly<Record<string, unknown>> | undefined;
  // In general all that is known is of one entry.
  let [other, isOld] = [entry, false];
  for (const metric in metrics) {
    const known = values.get(metric);
    if (known !== undefined && known.entry !== other)
      [other, isOld] = [known.entry, isOlder(entry, known.entry)];
    if (known !== undefined && isOld) continue;
    exact ??= mayRound(entry.payload) ? exactly(entry.payload) : metrics;
    values.set(metric, { entry, value: exact[metric] });
  }
}

/** The time that counts: a device's clock may be ahead of the arrival, but its reading is not. */
export function timeMs({ eventMs, receivedMs }: Event): number {
  return eventMs > receivedMs ? receivedMs : eventMs;
}

export function timeNs({ eventMs, eventNs, receivedMs }: Event): number {
  return eventMs > receivedMs ? 0 : eventNs;
}

function isOlder(a: Event, b: Event): boolean {
  const [aMs, bMs] = [timeMs(a), timeMs(b)];
  if (aMs !== bMs) return aMs < bMs;
  const [aNs, bNs] = [timeNs(a), timeNs(b)];
  return aNs === bNs ? a.seq < b.seq : aNs < bNs;
}

interface Contents {
  readonly metrics?: unknown;
  /** As existing readers know it: datatype_id and the like. */
  readonly metadata?: unknown;
}

/** A double holds 15 digits of any number, and exponents up to 300. One search for each takes a third of one for both. */
const manyDigits = /\d{16}/;
const longExponent = /[eE][+-]?\d{3}/;

/** May a number of it be another one once it is parsed? */
function mayRound(payload: string): boolean {
  const text = skeletonOf(payload);
  return manyDigits.test(text) || longExponent.test(text);
}

function contents(payload: string): Contents {
  return Object(JSON.parse(payload)) as Contents;
}

/** Metrics with the digits that the device sent. To parse so costs many times as much. */
function exactly(payload: string): Readonly<Record<string, unknown>> {
  const kept = parseDigits(payload, (n, digits) => (String(n) === digits ? n : new Digits(digits)));
  return (kept as { metrics: Readonly<Record<string, unknown>> }).metrics;
}

/** A number with the digits that the device sent. */
class Digits {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export function textOf(value: unknown): string {
  return value instanceof Digits ? value.text : JSON.stringify(value);
}

/** What existing readers know as datatype_…, in the metadata of a message. */
export const datatypeFields = ["datatype_id", "datatype_name", "datatype_unit"] as const;

/** A field of a datatype as text; undefined: the message did not tell it. */
export function datatypeField(
  { datatype }: Latest,
  field: (typeof datatypeFields)[number],
): string | undefined {
  const value = datatype?.fields[field];
  if (value === undefined || value === null) return undefined;
  return typeof value === "string" ? value : textOf(value);
}

/** Whether the tables have it, too, as existing readers ask. */
export function persistOf({ datatype }: Latest): "true" | "false" {
  return datatype?.fields["persist"] === false ? "false" : "true";
}

/** As the existing messages have it. Beyond what Date knows, its first or last moment. */
export function isoWithoutZone(ms: number): string {
  return new Date(Math.max(-8.64e15, Math.min(8.64e15, ms))).toISOString().slice(0, -1);
}
