/**
 * An event as one line of InfluxDB line protocol: `measurement,tags fields timestamp`. Pure.
 *
 * What the grammar cannot carry exactly is refused by name, never altered: one unescaped quote or a trailing backslash
 * swallows the lines behind it, and they may be another tenant's. Names and tags: names.ts.
 *
 * A number's look never chooses its type (21 and 21.5 are one column): it is a float unless its name is declared an
 * integer or the column is believed to be one. A value that its column is believed not to take gets a line all the same
 * (`misfit`): the belief may be old or about another shard, and only the server refuses a value for its type.
 */
import type { Grammar } from "./grammar.ts";
import { isExact, isInt64, isWhole, sourceOf } from "./digits.ts";
import { seriesText, Unwritable } from "./names.ts";
import type { Slot } from "./slot.ts";
import { msOf, nsOf } from "./time.ts";
import { nanoseconds, telemetryOf, type Entry } from "../../core/entry.ts";

export type ColumnType = "float" | "integer" | "boolean" | "string" | "tag";

/** What is known of a field of one table. */
export interface Column {
  /** A comma, the escaped name and `=`; null if the name cannot be a field. */
  readonly head: string | null;
  /** INFLUX_INTEGER_FIELDS declares its numbers whole. */
  readonly integer: boolean;
  /** The type that the server is believed to keep it as; null if it is not known yet. */
  readonly type: ColumnType | null;
}

/** The columns of one table of one database. */
export interface Table {
  readonly name: string;
  column(field: string): Column;
}

/** Whole ms since the epoch, and the nanoseconds within that ms. */
export interface Time {
  readonly ms: number;
  readonly ns: number;
}

/** One device in one table, and its last times. */
export interface Series {
  readonly table: Table;
  readonly siteId: string | null;
  /** Measurement and tags. */
  readonly text: string;
  readonly slots: Slot[];
  /** Of the fields of its last reading. */
  names: readonly string[];
  /** Which slot is overwritten next. */
  oldest: number;
  /** No slot is of a later ms. */
  newestMs: number;
  /** The server has stored a line of it. */
  isStored: boolean;
}

export interface Line extends Time {
  readonly entry: Entry;
  readonly table: Table;
  readonly series: Series;
  readonly fields: string;
  /** Columns that this line gives a type other than the one known, or whose type is unknown; null if there is none. */
  readonly news: readonly (readonly [string, ColumnType])[] | null;
  /** A column is believed to be of another type. */
  readonly misfit: boolean;
  /** The types that it was written anew for (search.ts). */
  readonly tried?: ReadonlySet<string>;
}

/** As it was made of its entry. */
export interface Made extends Line {
  /** Of its fields; one array for all readings of a series that have the same. */
  readonly names: readonly string[];
  /** Of its fields as they are written, if it is at hand (print.ts). */
  readonly print?: number;
}

export const textOf = ({ series, fields, ms, ns }: Line): string =>
  `${series.text} ${fields} ${nanoseconds(ms, ns)}`;

/** The lines of a body. */
export function bodyOf(lines: readonly Line[]): string {
  let body = "";
  for (const line of lines) body += body === "" ? textOf(line) : `\n${textOf(line)}`;
  return body;
}

/** The line, moved to another time. */
export function moved(line: Line, { ms, ns }: Time): Line {
  const { entry, table, series, fields, news, misfit } = line;
  return { entry, table, series, fields, ms, ns, news, misfit };
}

/** The time this many nanoseconds later. */
export function later({ ms, ns }: Time, by: number): Time {
  const sum = ns + by;
  return { ms: ms + Math.floor(sum / 1_000_000), ns: sum % 1_000_000 };
}

/**
 * The line of an event; null if it has no field to write (a heartbeat without seq and metrics).
 * `seriesOf` returns a known series. `hints`: types of columns that take precedence over what is believed.
 * @throws {Unwritable} with the metric and the device if it cannot be written exactly.
 */
export function encodeLine(
  entry: Entry,
  table: Table,
  grammar: Grammar,
  seriesOf: (entry: Entry, table: Table, grammar: Grammar) => Series = newSeries,
  hints: TypeHints | null = null,
): Made | null {
  const { seq, metrics } = telemetryOf(entry);
  const made: Draft = { entry, table, grammar, hints, news: null, misfit: false };
  const names = seq === undefined ? [] : ["seq"];
  let fields = seq === undefined ? "" : added("", made, "seq", seq);
  for (const name in metrics) {
    const value = metrics[name];
    if (value === null || value === undefined || (typeof value === "string" && !grammar.texts)) continue;
    if (name === "seq" && seq !== undefined)
      throw refusal(entry, name, "stands for the message's own seq too");
    fields = added(fields, made, name, value);
    names.push(name);
  }
  if (fields === "") return null;
  if (grammar.caseless) refuseTwins(entry, metrics);
  const series = seriesOf(entry, table, grammar);
  return {
    entry,
    table,
    series,
    names: areEqual(names, series.names) ? series.names : names,
    fields,
    ms: msOf(entry, grammar),
    ns: nsOf(entry, grammar),
    news: made.news,
    misfit: made.misfit,
  };
}

const areEqual = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((name, i) => name === others[i]);

function refuseTwins(entry: Entry, metrics: object) {
  const seen = new Set<string>();
  for (const name of Object.keys(metrics)) {
    if (seen.has(name.toLowerCase())) throw refusal(entry, name, "differs from another only in case");
    seen.add(name.toLowerCase());
  }
}

/** Of which nothing is known yet. */
export function newSeries(entry: Entry, table: Table, grammar: Grammar): Series {
  const text = seriesText(entry, table.name, grammar);
  const unused = { slots: [], names: [], oldest: 0, newestMs: Number.NEGATIVE_INFINITY, isStored: false };
  return { table, siteId: entry.siteId, text, ...unused };
}

/** The line with its columns of these types; null if that changes nothing or is impossible. */
export function rewritten(line: Line, grammar: Grammar, hints: TypeHints): Line | null {
  try {
    const anew = encodeLine(line.entry, line.table, grammar, () => line.series, hints);
    return anew === null || anew.fields === line.fields ? null : { ...anew, ms: line.ms, ns: line.ns };
  } catch (error) {
    if (error instanceof Unwritable) return null;
    throw error;
  }
}

/** The type that the line gives a column; null if it has no value there. */
export function typeOf(line: Line, name: string): ColumnType | null {
  const { entry, table } = line;
  // Most lines have no such column, and to see that takes no parsing; only an escape can hide a name.
  if (!entry.payload.includes(name) && !entry.payload.includes("\\")) return null;
  const { seq, metrics } = telemetryOf(entry);
  const value = Object.hasOwn(metrics, name) ? metrics[name] : name === "seq" ? seq : undefined;
  if (value === undefined || value === null) return null;
  if (typeof value !== "number") return typeof value === "boolean" ? "boolean" : "string";
  const head = table.column(name).head ?? "";
  const fields = `,${line.fields}`;
  const [digits = ""] = fields.slice(fields.indexOf(head) + head.length).split(",", 1);
  return digits.endsWith("i") ? "integer" : "float";
}

export type TypeHints = ReadonlyMap<string, ColumnType>;

/** A line being made. */
interface Draft {
  readonly entry: Entry;
  readonly table: Table;
  readonly grammar: Grammar;
  readonly hints: TypeHints | null;
  news: [string, ColumnType][] | null;
  misfit: boolean;
}

/** Adds a field. The usual case comes first: a value of its column's known type, with no digits to lose. */
function added(fields: string, made: Draft, name: string, value: number | boolean | string): string {
  const column = made.table.column(name);
  if (column.head === null) throw refusal(made.entry, name, "cannot be the name of a field there");
  const type = made.hints === null ? column.type : null;
  const head = fields === "" ? column.head.slice(1) : column.head;
  if (typeof value === "number") {
    if (type === "float" && value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER)
      return `${fields}${head}${value}`;
    if (type === "integer" && Number.isSafeInteger(value)) return `${fields}${head}${value}i`;
  } else if (type === "boolean" && value === true) return `${fields}${head}true`;
  return `${fields}${head}${valueOf(made, name, column, value)}`;
}

/** A value as line protocol writes it, compared with what its column is believed to be. */
function valueOf(made: Draft, name: string, column: Column, value: number | boolean | string): string {
  const { entry, grammar } = made;
  const type = typeFor(made, name, column, value);
  if (column.type !== type) {
    (made.news ??= []).push([name, type]);
    if (column.type !== null) made.misfit = true;
  }
  if (typeof value === "boolean") return String(value);
  if (typeof value === "string") return quoted(entry, name, value, grammar);
  if (type === "integer") return `${wholeDigits(entry, name, value)}i`;
  if (!Number.isFinite(value)) throw refusal(entry, name, "is beyond the range of a double");
  if (!isExact(entry, name, value)) throw refusal(entry, name, inexactWords(made, name, column, value));
  return String(value);
}

/** The setting helps a whole number of 64 bits, where the server has such and its column is not a float already. */
function inexactWords({ entry, grammar }: Draft, name: string, column: Column, value: number): string {
  const isCured = grammar.integers && column.type !== "float" && isWhole(entry, name, value);
  return `has digits that a float does not keep${isCured ? "; name it in INFLUX_INTEGER_FIELDS" : ""}`;
}

function typeFor(
  { entry, grammar, hints }: Draft,
  name: string,
  column: Column,
  value: number | boolean | string,
): ColumnType {
  if (typeof value !== "number") return typeof value === "boolean" ? "boolean" : "string";
  const type = hints?.get(name) ?? column.type;
  if (type === "float") return "float";
  if (!column.integer && type !== "integer") return "float";
  if (!grammar.integers && !Number.isSafeInteger(value)) return "float";
  // A declaration binds us; a belief about the server is no reason to refuse.
  return column.integer || isWhole(entry, name, value) ? "integer" : "float";
}

/** Quotes and backslashes are escaped; everything else stands for itself. */
function quoted(entry: Entry, name: string, value: string, grammar: Grammar): string {
  if (!value.isWellFormed()) throw refusal(entry, name, "is not valid Unicode");
  if (!grammar.lineFeed && value.includes("\n"))
    throw refusal(entry, name, "has a line feed, which would end the line there");
  return `"${/["\\]/.test(value) ? value.replace(/["\\]/g, "\\$&") : value}"`;
}

function wholeDigits(entry: Entry, name: string, value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  if (!Number.isInteger(value)) throw refusal(entry, name, `is ${value}; its column holds whole numbers`);
  const digits = sourceOf(entry, name);
  if (!isInt64(digits)) throw refusal(entry, name, `is ${digits}; its column holds whole numbers of 64 bits`);
  return String(BigInt(digits));
}

function refusal(entry: Entry, name: string, why: string): Unwritable {
  return new Unwritable(`metric ${JSON.stringify(name)} of device ${JSON.stringify(entry.deviceId)} ${why}`);
}
