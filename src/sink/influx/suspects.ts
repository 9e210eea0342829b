/**
 * Which lines an answer may mean that names none. Pure.
 *
 * Halving alone finds one bad line among thousands in a dozen requests, but thousands of bad ones in thousands. Known words
 * single out lines that are sent again apart, which takes two or three. Nothing is refused on suspicion: if it is wrong (a
 * metric may be *named* like an error), it costs requests. The answer to the lines alone counts.
 */
import { textOf, typeOf, type ColumnType, type Line } from "./line.ts";

/** A column has a type other than some lines give it. */
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

/** The words of InfluxDB 3 about one line. */
const conflict3 =
  /^invalid column type for column '(.+)', expected iox::column_type::(?:field::)?(\w+), got iox::column_type::(?:field::)?(\w+)$/;
/**
 * The words of 1 and 2, of 3 through the interface of 2, and of QuestDB. Names match greedily, so that what a device calls a
 * metric cannot end the match.
 */
const conflicts: readonly RegExp[] = [
  /partial write: field type conflict: input field "(?<column>.+)" on measurement "(?<table>.+)" is type (?<came>\w+), already exists as type (?<has>\w+)/s,
  /^write buffer error: .*?invalid column type for column '(?<column>.+)', expected iox::column_type::(?:field::)?(?<has>\w+), got iox::column_type::(?:field::)?(?<came>\w+)$/s,
  /table: (?<table>\w+), column: (?<column>.+); cast error from protocol type: (?<came>\w+) to column type: (?<has>\w+)$/s,
];

/** Longer words quote lines, and the text of a line can make this search take seconds. */
const conflictCharsMax = 8_000;

/** What the words of InfluxDB 3 about one line say about a column. */
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

/** The lines that are sent first, and the others; null if one of the two is empty. */
export function parted(lines: readonly Line[], suspicion: Suspicion | null): [Line[], Line[]] | null {
  if (suspicion === null) return null;
  const first = firstOf(lines, suspicion);
  if (first.size === 0 || first.size === lines.length) return null;
  return [[...first], lines.filter((line) => !first.has(line))];
}

/**
 * The suspects go first, so that several kinds are dealt with one after the other. Old lines go last: if the others are stored,
 * the count proves the old ones refused.
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

/** The lines that the words quote; none if a line itself has such words, which could quote another one. */
function quoted(lines: readonly Line[], words: string): Set<Line> {
  if (lines.some(({ fields }) => quote.test(fields))) return new Set();
  const quotes = words.matchAll(/(?:unable to parse '|incorrect influx line ")([\s\S]*?)['"]: /g);
  const texts = new Set([...quotes].map(([, text]) => text));
  return new Set(lines.filter((line) => texts.has(textOf(line))));
}

/** Has the line a value of the type that came, in this column? */
export function isAbout(line: Line, { table, column, has, came }: TypeSuspicion): boolean {
  if (table !== null && table !== line.table.name) return false;
  const type = typeOf(line, column);
  return type !== null && (came === null ? type !== has : type === came);
}

/** Oldest first. */
const byTime = (lines: readonly Line[]): Line[] => lines.toSorted((a, b) => a.ms - b.ms || a.ns - b.ns);

/** Neighbours that lie so far apart are likely in different shards, or one is older than the retention period. */
const gapMinMs = 86_400_000;

/**
 * Two parts, ordered so that lines that go the same way stand together: 1 and 2 keep types per shard, a span of time, and other
 * mistakes are mostly one device's. Devices stay in the order in which the server met them, for it may have had room for the
 * first ones only.
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
