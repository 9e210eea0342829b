/**
 * Which lines an answer that names none may mean. Pure.
 *
 * Halving alone finds one bad line among thousands in a dozen requests, and thousands of bad ones in thousands. Words that are
 * known single out lines to be asked about apart, which makes it two or three. Nothing is refused for a suspicion: it
 * costs requests if it is wrong (a metric may be *named* like an error), and the server's answer to the lines alone counts.
 */
import { telemetryOf } from "../../core/entry.ts";
import { textOf, type ColumnType, type Line } from "./line.ts";

export type Suspicion =
  /** A column has another type than some lines give it. `came`: as the lines have it; null if it does not say. */
  | { readonly kind: "type"; readonly column: string; readonly has: ColumnType; readonly came: string | null }
  /** The oldest are older than the retention period; `count` of them, if it says. */
  | { readonly kind: "old"; readonly count: number | null }
  /** Words that quote lines from their beginning. */
  | { readonly kind: "quoted"; readonly words: string }
  /** The first bad line. */
  | { readonly kind: "line"; readonly index: number };

const columnTypes: Readonly<Record<string, ColumnType>> = {
  float: "float",
  double: "float",
  integer: "integer",
  long: "integer",
  boolean: "boolean",
  string: "string",
  varchar: "string",
  tag: "tag",
};

/** As InfluxDB 3 says it of a line. */
const conflict3 =
  /^invalid column type for column '(.+)', expected iox::column_type::(?:field::)?(\w+), got iox::column_type::(?:field::)?(\w+)$/;
/** As 1 and 2 do, 3 by way of their interface, and QuestDB. The names are greedy: what devices chose cannot end them. */
const conflicts: readonly RegExp[] = [
  /partial write: field type conflict: input field "(?<column>.+)" on measurement ".+" is type (?<came>\w+), already exists as type (?<has>\w+)/s,
  /^write buffer error: .*?invalid column type for column '(?<column>.+)', expected iox::column_type::(?:field::)?(?<has>\w+), got iox::column_type::(?:field::)?(?<came>\w+)$/s,
  /column: (?<column>.+); cast error from protocol type: (?<came>\w+) to column type: (?<has>\w+)$/s,
];

/** Longer words quote lines, and a line's text can make the search for a conflict in them take seconds. */
const conflictCharsMax = 8_000;

/** What InfluxDB 3's words about one line say of a column. */
export function typeIn(words: string): (Suspicion & { kind: "type" }) | null {
  const [, column = "", has = "", came = ""] = conflict3.exec(words) ?? [];
  return typeSuspicion(column, has, came);
}

function typeSuspicion(column: string, has: string, came: string): (Suspicion & { kind: "type" }) | null {
  const type = columnTypes[has.toLowerCase()];
  return type === undefined ? null : { kind: "type", column, has: type, came: came.toLowerCase() };
}

export function suspicionIn(words: string, dropped: number | null): Suspicion | null {
  for (const pattern of words.length > conflictCharsMax ? [] : conflicts) {
    const { column = "", has = "", came = "" } = pattern.exec(words)?.groups ?? {};
    const found = typeSuspicion(column, has, came);
    if (found !== null) return found;
  }
  if (/points (beyond|outside) retention/i.test(words)) return { kind: "old", count: dropped };
  if (quote.test(words)) return { kind: "quoted", words };
  return null;
}

/** The lines that are asked about apart, and the others. Null if that parts nothing. */
export function parted(lines: readonly Line[], suspicion: Suspicion | null): [Line[], Line[]] | null {
  if (suspicion === null) return null;
  const suspects = suspectsOf(lines, suspicion);
  if (suspects.size === 0 || suspects.size === lines.length) return null;
  return [[...suspects], lines.filter((line) => !suspects.has(line))];
}

function suspectsOf(lines: readonly Line[], suspicion: Suspicion): Set<Line> {
  switch (suspicion.kind) {
    case "type":
      return new Set(lines.filter((line) => hasColumn(line, suspicion)));
    case "old":
      return new Set(suspicion.count === null ? [] : byTime(lines).slice(0, suspicion.count));
    case "quoted":
      return quoted(lines, suspicion.words);
    case "line":
    default:
      return new Set(lines.slice(suspicion.index, suspicion.index + 1));
  }
}

/** Does the answer quote every one of the lines? */
export function isOfAll(lines: readonly Line[], suspicion: Suspicion | null): boolean {
  return suspicion?.kind === "quoted" && quoted(lines, suspicion.words).size === lines.length;
}

const quote = /unable to parse '|incorrect influx line "/;

/** None if a line has such words in itself: it could have another one quoted. */
function quoted(lines: readonly Line[], words: string): Set<Line> {
  if (lines.some(({ fields }) => quote.test(fields))) return new Set();
  const quotes = words.matchAll(/(?:unable to parse '|incorrect influx line ")([\s\S]*?)['"]: /g);
  const texts = new Set([...quotes].map(([, text]) => text));
  return new Set(lines.filter((line) => texts.has(textOf(line))));
}

/** Has the line a value in the column that may be the one that came? */
function hasColumn({ entry }: Line, { column, came }: Suspicion & { kind: "type" }): boolean {
  const { seq, metrics } = telemetryOf(entry);
  const value = Object.hasOwn(metrics, column) ? metrics[column] : column === "seq" ? seq : undefined;
  if (value === undefined || value === null) return false;
  return typeof value === "number"
    ? !["string", "boolean"].includes(came ?? "")
    : came === null || came === typeof value;
}

/** Oldest first. */
export const byTime = (lines: readonly Line[]): Line[] =>
  lines.toSorted((a, b) => a.ms - b.ms || a.ns - b.ns);

/**
 * The order in which neighbours are most alike: types are kept for a week of time at a time (1 and 2), and what else is
 * wrong is mostly wrong with a device.
 */
export function ordered(lines: readonly Line[], suspicion: Suspicion | null): Line[] {
  if (suspicion?.kind === "type") return byTime(lines);
  return lines.toSorted((a, b) =>
    a.series.text < b.series.text ? -1 : Number(a.series.text > b.series.text),
  );
}
