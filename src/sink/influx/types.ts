/**
 * The type map: what each column of each table of each database is kept as, learned from what the far side stored and
 * from what it refused, so that a value it would refuse is caught here and a number is written as its column's type.
 *
 * The first write fixes a column's type for ever, and a type conflict costs a line (InfluxDB 3) or hides in a batch
 * (1 and 2). The map is a cache of the far side's own knowledge: it is bounded, kept as one JSON file that is written
 * some seconds after a change, and a damaged or lost file costs a few refused lines until it is learned again. What comes from
 * the file is trusted to choose between integer and float, but not to refuse: the database may have been dropped since.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock, Timer } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log.ts";
import { escapeName, type Column, type ColumnType, type Line, type Table } from "../line.ts";

const columnsMax = 50_000;
const saveAfterMs = 10_000;

/** What an error of the far side says about a column. `table` is null where only the line knows it. */
export interface Lesson {
  readonly table: string | null;
  readonly column: string;
  readonly type: ColumnType;
}

export interface TypeMap {
  table(database: string, name: string): Table;
  /** The far side stored a line with these: its columns are what it says. */
  confirm(unsure: NonNullable<Line["unsure"]>): void;
  /** True where it was not known before. */
  teach(database: string, table: string, lesson: Lesson): boolean;
  readonly size: number;
  close(): void;
}

type Stored = Record<string, Record<string, Record<string, ColumnType>>>;

interface KnownTable extends Table {
  readonly columns: ReadonlyMap<string, Column>;
}

interface Options {
  readonly path: string;
  readonly integerFields: readonly string[];
  /** Names that are tags, or `time`: no field may have one. */
  readonly reserved: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

export function createTypeMap({ path, integerFields, reserved, clock, log }: Options): TypeMap {
  const integers = new Set(integerFields);
  const taken = new Set(reserved);
  const databases = new Map<string, Map<string, KnownTable>>();
  let size = 0;
  let saving: Timer | null = null;

  function fresh(field: string): Column {
    const head = taken.has(field) ? null : escapeName(field);
    return { head: head === null ? null : `${head}=`, integer: integers.has(field), type: null, sure: false };
  }

  function tableOf(database: string, name: string): KnownTable {
    let tables = databases.get(database);
    if (tables === undefined) databases.set(database, (tables = new Map()));
    let table = tables.get(name);
    if (table === undefined) tables.set(name, (table = newTable(name)));
    return table;
  }

  function newTable(name: string): KnownTable {
    const columns = new Map<string, Column>();
    return { name, columns, column: (field) => columns.get(field) ?? addTo(columns, field) };
  }

  function addTo(columns: Map<string, Column>, field: string): Column {
    const column = fresh(field);
    if (size >= columnsMax) return column;
    columns.set(field, column);
    size += 1;
    return column;
  }

  function settle(column: Column, type: ColumnType): boolean {
    if (column.sure && column.type === type) return false;
    if (column.type !== type) saving ??= clock.after(saveAfterMs, save);
    column.type = type;
    column.sure = true;
    return true;
  }

  function save() {
    saving?.cancel();
    saving = null;
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(`${path}.tmp`, JSON.stringify(toStored(databases)));
      renameSync(`${path}.tmp`, path);
    } catch (error) {
      log.warn(
        { path, error: explain(error) },
        "cannot keep the column types; they are learned again after a restart",
      );
    }
  }

  for (const [database, tables] of Object.entries(load(path, log))) {
    for (const [table, columns] of Object.entries(tables)) {
      for (const [field, type] of Object.entries(columns)) tableOf(database, table).column(field).type = type;
    }
  }

  return {
    table: tableOf,
    confirm(unsure) {
      for (const [column, type] of unsure) settle(column, type);
    },
    teach: (database, table, lesson) =>
      settle(tableOf(database, lesson.table ?? table).column(lesson.column), lesson.type),
    get size() {
      return size;
    },
    close() {
      if (saving !== null) save();
    },
  };
}

function toStored(databases: ReadonlyMap<string, ReadonlyMap<string, KnownTable>>): Stored {
  const stored: Stored = {};
  for (const [database, tables] of databases) {
    const kept = (stored[database] = Object.create(null) as Stored[string]);
    for (const [table, { columns }] of tables) {
      const types = (kept[table] = Object.create(null) as Record<string, ColumnType>);
      for (const [field, { type }] of columns) if (type !== null) types[field] = type;
    }
  }
  return stored;
}

function load(path: string, log: Log): Stored {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Stored;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn(
        { path, error: explain(error) },
        "the kept column types cannot be read; they are learned again",
      );
    return {};
  }
}

const words: Readonly<Record<string, ColumnType>> = {
  float: "float",
  integer: "integer",
  boolean: "boolean",
  string: "string",
  tag: "tag",
};

/** Reads the type out of a type conflict's words, as InfluxDB 3 and as 1 and 2 put it. */
export function lessonIn(message: string): Lesson | null {
  const v3 = /column type for column '(.+)', expected iox::column_type::(?:field::)?(\w+)/.exec(message);
  const v1 = /input field "(.+)" on measurement "(.+)" is type \w+, already exists as type (\w+)/.exec(
    message,
  );
  const column = v3?.[1] ?? v1?.[1];
  const type = words[v3?.[2] ?? v1?.[3] ?? ""];
  return column === undefined || type === undefined ? null : { table: v1?.[2] ?? null, column, type };
}
