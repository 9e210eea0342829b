/**
 * An event as one line of InfluxDB line protocol: `measurement,tags fields timestamp`. Pure.
 *
 * What the grammar cannot carry exactly is refused by name, never altered: one unescaped quote or a trailing backslash
 * swallows the lines behind it, and they may be another tenant's. Backslashes and control characters in names and tag
 * values are refused because InfluxDB 1, 2 and 3 read them differently, so that no spelling is right on all of them;
 * in string fields they are exact everywhere.
 *
 * A number's look never chooses its type (21 and 21.5 are one column): it is a float unless its name is declared an
 * integer or the column is known to be one.
 */
import { nanoseconds, telemetryOf, type Entry } from "../core/entry.ts";

export type ColumnType = "float" | "integer" | "boolean" | "string" | "tag";

/** A field of one table, as far as it is known. */
export interface Column {
  /** The escaped name and `=`; null where the name cannot be a field. */
  readonly head: string | null;
  /** Its numbers are whole by declaration (INFLUX_INTEGER_FIELDS). */
  readonly integer: boolean;
  /** What the far side keeps it as; null: not known yet. */
  type: ColumnType | null;
  /** The far side confirmed `type` since this process started: what does not fit is refused here. */
  sure: boolean;
}

/** The columns of one table of one database. */
export interface Table {
  readonly name: string;
  column(field: string): Column;
}

export interface Line {
  readonly entry: Entry;
  readonly table: Table;
  /** Measurement and tags. */
  readonly series: string;
  readonly fields: string;
  /** Nanoseconds since the epoch. */
  readonly time: string;
  /** Columns not yet confirmed, with the type this line gives them; null where there is none. */
  readonly unsure: readonly (readonly [Column, ColumnType])[] | null;
}

export interface Grammar {
  /** The tenant is the first tag, for databases that tenants share. */
  readonly tenantTag: boolean;
  /** May a string hold a line feed? Servers read it exactly; tools that read a file line by line do not. */
  readonly lineFeed: boolean;
}

/** Why an entry can never be written. */
export class Unwritable extends Error {
  override readonly name = "Unwritable";
}

export const textOf = (line: Line): string => `${line.series} ${line.fields} ${line.time}`;

/** Control characters, backslash and halves of surrogate pairs have no spelling that every version reads the same. */
// oxlint-disable-next-line no-control-regex
const impossible = /[\\\u0000-\u001f\u007f]/;
// oxlint-disable-next-line no-control-regex
const special = /[\\,= \u0000-\u001f\u007f\ud800-\udfff]/;

/** A tag value or a name as the grammar writes it; null where it cannot. */
export function escapeName(name: string): string | null {
  if (name !== "" && !special.test(name)) return name;
  if (name === "" || impossible.test(name) || !name.isWellFormed()) return null;
  return name.replace(/[,= ]/g, "\\$&");
}

/**
 * The line of an event; null where it has no field to write (a heartbeat without seq and metrics).
 * @throws {Unwritable} with the metric and the device where it cannot be written exactly.
 */
export function encodeLine(entry: Entry, table: Table, grammar: Grammar): Line | null {
  const { seq, metrics } = telemetryOf(entry);
  const unsure: Unsure = [];
  const parts: string[] = [];
  if (seq !== undefined) parts.push(field(entry, table, "seq", seq, grammar, unsure));
  for (const name of Object.keys(metrics)) {
    const value = metrics[name];
    if (value === null || value === undefined) continue;
    if (name === "seq" && seq !== undefined)
      throw refusal(entry, name, "stands for the message's own seq too");
    parts.push(field(entry, table, name, value, grammar, unsure));
  }
  if (parts.length === 0) return null;
  return {
    entry,
    table,
    series: seriesOf(entry, table.name, grammar),
    fields: parts.join(","),
    time: timeOf(entry),
    unsure: unsure.length > 0 ? unsure : null,
  };
}

function seriesOf(entry: Entry, table: string, grammar: Grammar): string {
  const tags = `,device_id=${tag("device_id", entry.deviceId)},site_id=${tag("site_id", entry.siteId)}`;
  return grammar.tenantTag ? `${table},tenant_id=${tag("tenant_id", entry.tenantId)}${tags}` : table + tags;
}

function tag(name: string, value: string | null): string {
  const written = escapeName(value ?? "");
  if (written !== null) return written;
  throw new Unwritable(`tag ${name} cannot be ${JSON.stringify(value ?? "")} in line protocol`);
}

/** The years that 64-bit nanoseconds can hold: 1677 to 2262. */
const msMax = 9_223_372_036_853;

function timeOf(entry: Entry): string {
  const ms = entry.eventMs ?? entry.receivedMs;
  if (Math.abs(ms) <= msMax) return nanoseconds(ms, entry.eventNs);
  throw new Unwritable(`event time ${ms} ms is outside of 1677 to 2262, which is what InfluxDB can hold`);
}

type Unsure = [Column, ColumnType][];

function field(
  entry: Entry,
  table: Table,
  name: string,
  value: number | boolean | string,
  grammar: Grammar,
  unsure: Unsure,
): string {
  const column = table.column(name);
  if (column.head === null) throw refusal(entry, name, "cannot be the name of a field in InfluxDB");
  const type = typeFor(column, value);
  if (type === null)
    throw refusal(entry, name, `is a ${typeof value}; its column in ${table.name} is ${column.type}`);
  if (!column.sure) unsure.push([column, type]);
  if (typeof value === "boolean") return column.head + String(value);
  if (typeof value === "string") return column.head + quoted(entry, name, value, grammar);
  if (type === "integer") return `${column.head}${wholeDigits(entry, name, value)}i`;
  if (!Number.isFinite(value)) throw refusal(entry, name, "is beyond the range of a double");
  return column.head + String(value);
}

/** The type to write a value as; null where its column, known for sure, cannot hold it. */
function typeFor(column: Column, value: number | boolean | string): ColumnType | null {
  const kind = typeof value;
  const known = column.type;
  if (kind === "number" && (known === "float" || known === "integer")) return known;
  if (known !== null && known !== kind && column.sure) return null;
  if (kind === "number") return column.integer ? "integer" : "float";
  return kind === "boolean" ? "boolean" : "string";
}

/** Quotes and backslashes are escaped; everything else stands for itself (section "string" of the line protocol). */
function quoted(entry: Entry, name: string, value: string, grammar: Grammar): string {
  if (!value.isWellFormed()) throw refusal(entry, name, "is not valid Unicode");
  if (!grammar.lineFeed && value.includes("\n"))
    throw refusal(entry, name, "has a line feed, which a file of lines cannot hold");
  return `"${/["\\]/.test(value) ? value.replace(/["\\]/g, "\\$&") : value}"`;
}

function wholeDigits(entry: Entry, name: string, value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  if (!Number.isInteger(value)) throw refusal(entry, name, `is ${value}; its column holds whole numbers`);
  const digits = sourceOf(entry, name);
  if (!/^-?\d+$/.test(digits) || BigInt.asIntN(64, BigInt(digits)) !== BigInt(digits))
    throw refusal(entry, name, `is ${digits}; its column holds whole numbers of 64 bits`);
  return String(BigInt(digits));
}

type Reviver = (this: unknown, key: string, value: unknown) => unknown;

/** A metric's digits as the device wrote them: a double has lost some beyond 2^53. */
function sourceOf(entry: Entry, name: string): string {
  const { metrics } = JSON.parse(entry.payload, asWritten as Reviver) as { metrics: Record<string, unknown> };
  return String(metrics[name]);
}

function asWritten(_: string, value: unknown, at: { source: string }): unknown {
  return typeof value === "number" ? at.source : value;
}

function refusal(entry: Entry, name: string, why: string): Unwritable {
  return new Unwritable(`metric ${JSON.stringify(name)} of device ${JSON.stringify(entry.deviceId)} ${why}`);
}
