/**
 * What the fakes of InfluxDB keep: tables with typed columns, points by series and time.
 */
import { parseLines, type FieldValue, type Point } from "./lineparser.ts";

export interface LineError {
  readonly number: number;
  readonly message: string;
  readonly text: string;
}

interface Table {
  /** Column → its type, "tag" for a tag. */
  readonly columns: Map<string, string>;
  readonly points: Map<string, Point>;
}

export class FakeDatabase {
  readonly tables = new Map<string, Table>();
  /** Points whose values were replaced by others: what InfluxDB does silently. */
  overwrites = 0;

  points(table: string): Point[] {
    return [...(this.tables.get(table)?.points.values() ?? [])];
  }

  /** Number of points in all tables. */
  get size(): number {
    return [...this.tables.values()].reduce((sum, { points }) => sum + points.size, 0);
  }

  put(point: Point): void {
    const table = this.tables.get(point.measurement) ?? { columns: new Map(), points: new Map() };
    this.tables.set(point.measurement, table);
    for (const tag of point.tags.keys()) table.columns.set(tag, "tag");
    for (const [name, { type }] of point.fields) table.columns.set(name, type);
    const key = `${JSON.stringify([...point.tags].toSorted())} ${point.time}`;
    const there = table.points.get(key);
    if (there !== undefined && differs(there, point)) this.overwrites += 1;
    table.points.set(key, { ...point, fields: new Map([...(there?.fields ?? []), ...point.fields]) });
  }

  /** The column that does not take this point's value, with the type it has and the type that came. */
  conflict(point: Point): { column: string; has: string; came: string } | null {
    const columns = this.tables.get(point.measurement)?.columns;
    const offered: [string, string][] = [
      ...[...point.tags.keys()].map((tag): [string, string] => [tag, "tag"]),
      ...[...point.fields].map(([name, { type }]): [string, string] => [name, type]),
    ];
    for (const [column, came] of offered) {
      const has = columns?.get(column);
      if (has !== undefined && has !== came) return { column, has, came };
    }
    return null;
  }
}

function differs(a: Point, b: Point): boolean {
  const same = (x: FieldValue | undefined, y: FieldValue) => x === undefined || x.value === y.value;
  return [...b.fields].some(([name, value]) => !same(a.fields.get(name), value));
}

/**
 * Checks the lines of a body against a database. Each good line is put there (`write`) before the next is looked at,
 * because the first one fixes a column's type.
 */
export function applyLines(
  database: FakeDatabase,
  body: string,
  conflictWords: (table: string, conflict: { column: string; has: string; came: string }) => string,
): { good: Point[]; errors: LineError[] } {
  const good: Point[] = [];
  const errors: LineError[] = [];
  for (const [index, line] of parseLines(body).entries()) {
    const conflict = "point" in line ? database.conflict(line.point) : null;
    if ("error" in line) errors.push({ number: index + 1, message: line.error, text: line.text });
    else if (conflict !== null)
      errors.push({
        number: index + 1,
        message: conflictWords(line.point.measurement, conflict),
        text: line.text,
      });
    else {
      good.push(line.point);
      database.put(line.point);
    }
  }
  return { good, errors };
}
