/**
 * What the fakes of InfluxDB keep: tables with typed columns, points by series and time.
 *
 * Version 3 types a column of a table; 2 and 1 type it per shard, a week of time (`shards`), so that one column may be
 * an integer last month and a float today.
 */
import { parseLines, type FieldValue, type Leniency, type Point } from "./lineparser.ts";

export interface LineError {
  readonly number: number;
  readonly message: string;
  readonly text: string;
}

interface Table {
  /** Column → its type, "tag" for a tag. Of each shard, if there are shards. */
  readonly columns: Map<string, string>;
  readonly points: Map<string, Point>;
}

export interface Conflict {
  readonly column: string;
  readonly has: string;
  readonly came: string;
}

interface Rules {
  /** Types are kept per shard, and a field may have a tag's name (2 and 1). */
  readonly shards?: boolean;
  /** Older points are not kept. */
  readonly retentionMs?: number;
}

const shardNs = 7n * 86_400_000_000_000n;

export class FakeDatabase {
  readonly tables = new Map<string, Table>();
  /** Points whose values were replaced by others: what InfluxDB does silently. */
  overwrites = 0;
  /** Points taken that no query will ever show, for they are older than the retention period (3). */
  invisible = 0;
  /** The latest time of any point. */
  newest = 0n;
  readonly rules: Rules;

  constructor(rules: Rules = {}) {
    this.rules = rules;
  }

  points(table: string): Point[] {
    return [...(this.tables.get(table)?.points.values() ?? [])];
  }

  /** Number of points in all tables. */
  get size(): number {
    return [...this.tables.values()].reduce((sum, { points }) => sum + points.size, 0);
  }

  /** Acts as if somebody else had written this column first. */
  retype(table: string, column: string, type: string, time = 1_789_000_000_000_000_000n): void {
    this.#table(table).columns.set(this.#key(column, time), type);
  }

  put(point: Point): void {
    if (this.isOld(point)) this.invisible += 1;
    else this.#keep(point);
  }

  /** Types the columns that are not typed yet. */
  announce({ measurement, tags, fields, time }: Point, except?: string): void {
    const { columns } = this.#table(measurement);
    const name = (column: string, type: string) => {
      const key = this.#key(column, time);
      if (column !== except && !columns.has(key)) columns.set(key, type);
    };
    if (!this.rules.shards) for (const tag of tags.keys()) name(tag, "tag");
    for (const [field, { type }] of fields) name(field, type);
  }

  /** Columns of a table, the point's included. */
  width(point: Point): number {
    const names = new Set([...this.#table(point.measurement).columns.keys(), ...point.tags.keys()]);
    for (const field of point.fields.keys()) names.add(field);
    return names.size;
  }

  isOld({ time }: Point): boolean {
    const { retentionMs = 0 } = this.rules;
    return retentionMs > 0 && time < BigInt(Date.now() - retentionMs) * 1_000_000n;
  }

  /** The column that does not take this point's value, with the type it has and the type that came. */
  conflict({ measurement, tags, fields, time }: Point): Conflict | null {
    const columns = this.tables.get(measurement)?.columns;
    const offered: [string, string][] = [
      ...(this.rules.shards ? [] : [...tags.keys()].map((tag): [string, string] => [tag, "tag"])),
      ...[...fields].map(([name, { type }]): [string, string] => [name, type]),
    ];
    for (const [column, came] of offered) {
      if (column === "time" && !this.rules.shards) return { column, has: "timestamp", came };
      const has =
        tags.has(column) && came !== "tag" && !this.rules.shards
          ? "tag"
          : columns?.get(this.#key(column, time));
      if (has !== undefined && has !== came) return { column, has, came };
    }
    return null;
  }

  #keep(point: Point): void {
    this.announce(point);
    if (point.time > this.newest) this.newest = point.time;
    const { points } = this.#table(point.measurement);
    const key = `${JSON.stringify([...point.tags].toSorted())} ${point.time}`;
    const there = points.get(key);
    if (there !== undefined && differs(there, point)) this.overwrites += 1;
    points.set(key, { ...point, fields: new Map([...(there?.fields ?? []), ...point.fields]) });
  }

  #table(name: string): Table {
    const table = this.tables.get(name) ?? { columns: new Map(), points: new Map() };
    this.tables.set(name, table);
    return table;
  }

  #key(column: string, time: bigint): string {
    return this.rules.shards ? `${column}@${time / shardNs}` : column;
  }
}

function differs(a: Point, b: Point): boolean {
  const same = (x: FieldValue | undefined, y: FieldValue) => x === undefined || x.value === y.value;
  return [...b.fields].some(([name, value]) => !same(a.fields.get(name), value));
}

interface Applying {
  readonly lenient?: Leniency;
  /** What is wrong with a point that parses; null if it is accepted. */
  readonly fault: (point: Point, database: FakeDatabase) => string | null;
}

/**
 * Checks the lines of a body against a database. Each good line is stored before the next is checked, because the
 * first one fixes a column's type.
 */
export function applyLines(database: FakeDatabase, body: string, { lenient, fault }: Applying): LineError[] {
  const errors: LineError[] = [];
  for (const [index, line] of parseLines(body, lenient).entries()) {
    const message = "error" in line ? line.error : fault(line.point, database);
    if (message !== null) errors.push({ number: index + 1, message, text: line.text });
    else if ("point" in line) database.put(line.point);
  }
  return errors;
}
