/**
 * Which lines an answer that names none may mean. Pure.
 *
 * Halving alone finds one bad line among thousands in a dozen requests, and thousands of bad ones in thousands. Words that are
 * known single out lines to be asked about apart, which makes it two or three. Nothing is refused for a suspicion: it
 * costs requests if it is wrong (a metric may be *named* like an error), and the server's answer to the lines alone counts.
 */
import { textOf, typeOf, type ColumnType, type Line } from "./line.ts";

/** A column has another type than some lines give it. */
export interface TypeSuspicion {
  readonly kind: "type";
  /** null if the words do not name it. */
  readonly table: string | null;
  readonly column: string;
  readonly has: ColumnType;
  /** As the lines have it; null if the words do not say. */
  readonly came: ColumnType | null;
}

export type Suspicion =
  | TypeSuspicion
  /** The oldest are older than the retention period; `count` of them, if it says. */
  | { readonly kind: "old"; readonly count: number | null }
  /** There is no room for more series. */
  | { readonly kind: "series" }
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
  /partial write: field type conflict: input field "(?<column>.+)" on measurement "(?<table>.+)" is type (?<came>\w+), already exists as type (?<has>\w+)/s,
  /^write buffer error: .*?invalid column type for column '(?<column>.+)', expected iox::column_type::(?:field::)?(?<has>\w+), got iox::column_type::(?:field::)?(?<came>\w+)$/s,
  /table: (?<table>\w+), column: (?<column>.+); cast error from protocol type: (?<came>\w+) to column type: (?<has>\w+)$/s,
];

/** Longer words quote lines, and a line's text can make the search for a conflict in them take seconds. */
const conflictCharsMax = 8_000;

/** What InfluxDB 3's words about one line say of a column. */
export function typeIn(words: string): TypeSuspicion | null {
  const [, column, has, came] = conflict3.exec(words) ?? [];
  return typeSuspicion({ column, has, came });
}

function typeSuspicion(words: Readonly<Record<string, string | undefined>>): TypeSuspicion | null {
  const { table = null, column, has = "", came = "" } = words;
  const type = columnTypes[has.toLowerCase()];
  if (type === undefined || column === undefined) return null;
  return { kind: "type", table, column, has: type, came: columnTypes[came.toLowerCase()] ?? null };
}

export function suspicionIn(words: string, dropped: number | null): Suspicion | null {
  for (const pattern of words.length > conflictCharsMax ? [] : conflicts) {
    const found = typeSuspicion(pattern.exec(words)?.groups ?? {});
    if (found !== null) return found;
  }
  if (/points (beyond|outside) retention/i.test(words)) return { kind: "old", count: dropped };
  if (/max-(series-per-database|values-per-tag) limit exceeded/.test(words)) return { kind: "series" };
  if (quote.test(words)) return { kind: "quoted", words };
  return null;
}

/** The lines that are asked about first, and the others. Null if that parts nothing. */
export function parted(lines: readonly Line[], suspicion: Suspicion | null): [Line[], Line[]] | null {
  if (suspicion === null) return null;
  const first = firstOf(lines, suspicion);
  if (first.size === 0 || first.size === lines.length) return null;
  return [[...first], lines.filter((line) => !first.has(line))];
}

/**
 * Suspects, so that each of several kinds is dealt with in turn. Only of old lines it is the others, for if those are stored
 * the count proves the suspects refused.
 */
function firstOf(lines: readonly Line[], suspicion: Suspicion): Set<Line> {
  switch (suspicion.kind) {
    case "type":
      return new Set(lines.filter((line) => isAbout(line, suspicion)));
    case "old":
      return new Set(suspicion.count === null ? [] : byTime(lines).slice(suspicion.count));
    case "series":
      return new Set(lines.filter(({ series }) => !series.isStored));
    case "quoted":
      return quoted(lines, suspicion.words);
    case "line":
    default:
      return new Set(lines.slice(suspicion.index, suspicion.index + 1));
  }
}

/** Does the answer quote every one of the lines? */
export function quotesAll(lines: readonly Line[], suspicion: Suspicion | null): boolean {
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

/** Has the line a value in the column that is of the type that came? */
export function isAbout(line: Line, { table, column, has, came }: TypeSuspicion): boolean {
  if (table !== null && table !== line.table.name) return false;
  const type = typeOf(line, column);
  return type !== null && (came === null ? type !== has : type === came);
}

/** Oldest first. */
const byTime = (lines: readonly Line[]): Line[] => lines.toSorted((a, b) => a.ms - b.ms || a.ns - b.ns);

/** Readings that lie so far apart are likely in different shards, or on both sides of a retention period's end. */
const gapMinMs = 86_400_000;

/**
 * Two parts in the order in which neighbours are most alike: types are kept for a week of time at a time (1 and 2), and what
 * else is wrong is mostly wrong with a device. Devices stay in the order in which the server met them, until it had no more
 * room.
 */
export function inTwo(lines: readonly Line[], suspicion: Suspicion | null): [Line[], Line[]] {
  const isOfTime = suspicion?.kind === "type" || suspicion?.kind === "old";
  const sorted = isOfTime ? byTime(lines) : [...Map.groupBy(lines, ({ series }) => series).values()].flat();
  const cut = isOfTime ? cutIn(sorted) : sorted.length >> 1;
  return [sorted.slice(0, cut), sorted.slice(cut)];
}

/** The gap in time that is nearest to the middle; else the middle. */
function cutIn(sorted: readonly Line[]): number {
  const middle = sorted.length >> 1;
  const isGap = (at: number) => (sorted[at]?.ms ?? 0) - (sorted[at - 1]?.ms ?? 0) >= gapMinMs;
  for (let off = 0; off < middle; off += 1) {
    if (isGap(middle - off)) return middle - off;
    if (isGap(middle + off)) return middle + off;
  }
  return middle;
}
