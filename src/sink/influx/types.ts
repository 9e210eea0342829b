/**
 * The type map: what each column of each table of each database was last stored as, so that a number is written as its
 * column's type and a value that would be refused goes in a request of its own (search.ts).
 *
 * It is a belief and never a reason to refuse: a type holds for one shard on InfluxDB 1 and 2, and on all versions until the
 * table is dropped. It is learned from stored lines alone, for devices can influence the words of errors. It is bounded and kept
 * as one JSON file, written some seconds after a change; a damaged or lost file costs a few requests.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import type { Clock, Timer } from "../../core/clock.ts";
import { writeWhole } from "../../core/file/whole-file.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { ownText } from "../../core/text/own-text.ts";
import type { Column, ColumnType, Line, Table } from "./line.ts";
import { escapeName } from "./names.ts";

export const columnsMax = 50_000;
const saveAfterMs = 10_000;

export interface TypeMap {
  table(database: string, name: string): KnownTable;
  /** A line was stored that gives these columns these types. */
  confirm(database: string, table: string, news: NonNullable<Line["news"]>): void;
  readonly size: number;
  close(): void;
}

const stored = z.record(
  z.string(),
  z.record(z.string(), z.record(z.string(), z.enum(["float", "integer", "boolean", "string", "tag"]))),
);
type Stored = z.infer<typeof stored>;

export interface KnownColumn extends Column {
  readonly name: string;
  /** `head`, encoded. */
  readonly bytes: Uint8Array | null;
  type: ColumnType | null;
  /** The last scan that met it (scan.ts). */
  mark: number;
}

export interface KnownTable extends Table {
  readonly columns: ReadonlyMap<string, KnownColumn>;
  column(field: string): KnownColumn;
}

interface Options {
  readonly path: string;
  readonly integerFields: readonly string[];
  /** Names that are tags, or `time`: no field may have one. */
  readonly reserved: readonly string[];
  /** Further names that no field may have; absent: there are none. */
  readonly badName?: RegExp | null;
  readonly clock: Clock;
  readonly log: Log;
}

export function createTypeMap({ path, integerFields, reserved, badName, clock, log }: Options): TypeMap {
  const integers = new Set(integerFields);
  const taken = new Set(reserved);
  const databases = new Map<string, Map<string, KnownTable>>();
  let size = 0;
  let saving: Timer | null = null;

  function fresh(name: string): KnownColumn {
    const escaped = taken.has(name) || badName?.test(name) === true ? null : escapeName(name);
    const head = escaped === null ? null : `,${escaped}=`;
    const bytes = head === null ? null : new TextEncoder().encode(head);
    return { name, head, bytes, integer: integers.has(name), type: null, mark: 0 };
  }

  function tableOf(database: string, name: string): KnownTable {
    let tables = databases.get(database);
    if (tables === undefined) databases.set(database, (tables = new Map()));
    let table = tables.get(name);
    if (table === undefined) tables.set(name, (table = newTable(name)));
    return table;
  }

  function newTable(name: string): KnownTable {
    const columns = new Map<string, KnownColumn>();
    return { name, columns, column: (field) => columns.get(field) ?? addTo(columns, field) };
  }

  /** @param field it may be cut from a payload, which is not kept for it */
  function addTo(columns: Map<string, KnownColumn>, field: string): KnownColumn {
    const column = fresh(ownText(field));
    if (size >= columnsMax) return column;
    columns.set(column.name, column);
    size += 1;
    return column;
  }

  function setType(column: KnownColumn, type: ColumnType) {
    if (column.type === type) return;
    saving ??= clock.after(saveAfterMs, save);
    column.type = type;
  }

  function save() {
    saving?.cancel();
    saving = null;
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeWhole(path, JSON.stringify(toStored(databases)));
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
    confirm(database, table, news) {
      const known = tableOf(database, table);
      for (const [field, type] of news) {
        const column = known.column(field);
        // Beyond the bound it is not kept, and nothing of it is to be written.
        if (known.columns.has(field)) setType(column, type);
      }
    },
    get size() {
      return size;
    },
    close() {
      if (saving !== null) save();
    },
  };
}

function toStored(databases: ReadonlyMap<string, ReadonlyMap<string, KnownTable>>): Stored {
  const all: Stored = {};
  for (const [database, tables] of databases) {
    const kept = (all[database] = Object.create(null) as Stored[string]);
    for (const [table, { columns }] of tables) {
      const types = (kept[table] = Object.create(null) as Record<string, ColumnType>);
      for (const [field, { type }] of columns) if (type !== null) types[field] = type;
    }
  }
  return all;
}

function load(path: string, log: Log): Stored {
  try {
    return stored.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn(
        { path, error: explain(error) },
        "the kept column types cannot be read; they are learned again",
      );
    return {};
  }
}
