/**
 * The move of a site from its local store to PostgreSQL: devices with their tokens' hashes, settings, rows, counts and the place in
 * the spool, so that the gateway goes on behind the last row as if nothing had happened.
 *
 * Rows move in batches, each in one transaction with a note of how far that came, so an interrupted move goes on where it was
 * and stores nothing twice. The gateway must be stopped: two writers cannot agree on what the last row is. The local file stays,
 * under another name.
 */
import type { Database } from "bun:sqlite";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { systemClock } from "../core/clock.ts";
import { serverError, type Postgres, type Transaction } from "../core/postgres.ts";
import { migratePostgres, openLocalStore } from "../core/schema.ts";
import { Spool } from "../spool/spool.ts";

export interface Moved {
  /** Rows per table that are in PostgreSQL now and were not before. */
  readonly rows: Readonly<Record<string, number>>;
  /** Rows that PostgreSQL refuses, and why; they stay in the file. */
  readonly refused: readonly string[];
  /** Where the local file is now. */
  readonly file: string;
}

type Row = Readonly<Record<string, string | number | null>>;
type Progress = (table: string, rows: number) => void;

const batchRows = 2_000;
const batchChars = 4_000_000;
const refusedNamedMax = 100;

/** Tables of events: columns that move, and their types. The ids are made anew. */
const eventTables: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  raw_events: columnsWith({ accepted: "boolean", payload: "jsonb" }),
  quarantine_events: columnsWith({ reason: "text", payload: "jsonb" }),
};

function columnsWith(more: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const texts = ["topic", "tenant_id", "site_id", "device_id", "msg_type"].map((name) => [name, "text"]);
  return { ingested_at: "timestamptz", event_ts: "timestamptz", ...Object.fromEntries(texts), ...more };
}

/** @throws if a gateway has the spool, there is no local store, or PostgreSQL is away; run again it goes on */
export async function moveLocal(config: Config, db: Postgres, progress: Progress): Promise<Moved> {
  const { dataDir } = config.general;
  const path = join(dataDir, "local.db");
  if (!existsSync(path)) throw new Error(`there is no local store at ${path}: see DATA_DIR`);
  const spool = new Spool({ dataDir, settings: config.spool, clock: systemClock });
  const local = openLocalStore(path);
  try {
    await migratePostgres(db);
    const rows: Record<string, number> = {};
    const refused: string[] = [];
    const move = moveId(local);
    rows["device_registry"] = await moveDevices(local, db);
    rows["app_settings"] = await moveSettings(local, db);
    for (const table of Object.keys(eventTables))
      rows[table] = await moveEvents({ local, db, move, table, refused, progress });
    rows["quarantine_counters_minute"] = await moveCounts(local, db, move);
    await movePosition(local, db);
    spool.setSinkState("postgres", spool.sinkState("local"));
    local.close();
    const file = `${path}.moved-${new Date().toISOString().replaceAll(/[-:.]/g, "")}`;
    renameSync(path, file);
    return { rows, refused, file };
  } finally {
    local.close();
    spool.close();
  }
}

/** Names this move in PostgreSQL, whoever interrupts it. */
function moveId(local: Database): string {
  local.run("CREATE TABLE IF NOT EXISTS sluice_move (id TEXT NOT NULL)");
  const found = local.query<{ id: string }, []>("SELECT id FROM sluice_move").get();
  if (found) return found.id;
  const id = Bun.randomUUIDv7();
  local.query("INSERT INTO sluice_move VALUES (?)").run(id);
  return id;
}

interface EventsMove {
  readonly local: Database;
  readonly db: Postgres;
  readonly move: string;
  readonly table: string;
  readonly refused: string[];
  readonly progress: Progress;
}

async function moveEvents({ local, db, move, table, refused, progress }: EventsMove): Promise<number> {
  const columns = eventTables[table] ?? {};
  const select = local.query<Row & { id: number }, [number, number]>(
    `SELECT id, ${Object.keys(columns).join(", ")} FROM ${table} WHERE id > ? ORDER BY id LIMIT ?`,
  );
  const note = `move:${move}:${table}`;
  let moved = 0;
  for (let after = await noted(db, note); ;) {
    const batch = bounded(select.all(after, batchRows));
    const last = batch.at(-1);
    if (last === undefined) return moved;
    moved += await put(batch);
    after = last.id;
    progress(table, moved);
  }

  /** All of them in one transaction; if the server refuses that, in halves, until the row that it refuses stands alone. */
  async function put(batch: readonly (Row & { id: number })[]): Promise<number> {
    const last = batch.at(-1)?.id ?? 0;
    try {
      await db.transaction(`moving ${table}`, async (tx) => {
        await insert(tx, table, columns, batch);
        await putNote(tx, note, last);
      });
      return batch.length;
    } catch (error) {
      const server = serverError(error);
      if (server === undefined || !/^(2[123]|0A|P0)/.test(server.code)) throw error;
      if (batch.length > 1) {
        const half = batch.length >> 1;
        return (await put(batch.slice(0, half))) + (await put(batch.slice(half)));
      }
      await db.transaction(`passing over a row of ${table}`, (tx) => putNote(tx, note, last));
      if (refused.length < refusedNamedMax)
        refused.push(`${table} ${last}: ${server.message} (${server.code})`);
      return 0;
    }
  }
}

/** The first rows, as many as one statement should carry. */
function bounded<T extends Row>(rows: readonly T[]): readonly T[] {
  let chars = 0;
  const count = rows.findIndex((row) => (chars += String(row["payload"]).length) > batchChars);
  return count <= 0 ? rows.slice(0, count < 0 ? rows.length : 1) : rows.slice(0, count);
}

function insert(
  tx: Transaction,
  table: string,
  columns: Readonly<Record<string, string>>,
  rows: readonly Row[],
  conflict = "",
): Promise<{ count: number }> {
  const names = Object.keys(columns);
  const texts = rows.map((row, n) => ({ ...row, n }));
  const values = names.map((name) => `${name}::text::${columns[name]}`);
  const record = names.map((name) => `${name} text`).join(", ");
  return tx.unsafe(
    `insert into ${table} (${names.join(", ")}) select ${values.join(", ")}
       from jsonb_to_recordset($1::text::jsonb) as r (n int, ${record}) order by n ${conflict}`,
    [JSON.stringify(texts)],
  );
}

const deviceColumns = {
  ...Object.fromEntries(["tenant_id", "device_id", "site_id", "status"].map((name) => [name, "text"])),
  provision_token_hash: "text",
  provisioned_at: "timestamptz",
  fw_version: "text",
  metadata: "jsonb",
  previous_token_hash: "text",
  previous_token_until: "timestamptz",
};

/** A device that PostgreSQL knows already stays as it is there. */
async function moveDevices(local: Database, db: Postgres): Promise<number> {
  const select = local.query<Row, [string, string, number]>(
    `SELECT ${Object.keys(deviceColumns).join(", ")} FROM device_registry
     WHERE (tenant_id, device_id) > (?, ?) ORDER BY tenant_id, device_id LIMIT ?`,
  );
  let added = 0;
  let [tenant, device] = ["", ""];
  for (;;) {
    const batch = select.all(tenant, device, batchRows);
    const last = batch.at(-1);
    if (last === undefined) return added;
    const { count } = await db.transaction("moving devices", (tx) =>
      insert(tx, "device_registry", deviceColumns, batch, "on conflict do nothing"),
    );
    added += count;
    [tenant, device] = [String(last["tenant_id"]), String(last["device_id"])];
  }
}

async function moveSettings(local: Database, db: Postgres): Promise<number> {
  const columns = { key: "text", value: "text", updated_at: "timestamptz" };
  const rows = local.query<Row, []>("SELECT key, value, updated_at FROM app_settings").all();
  const { count } = await db.transaction("moving settings", (tx) =>
    insert(tx, "app_settings", columns, rows, "on conflict do nothing"),
  );
  return count;
}

/** Added to what PostgreSQL counts already: in one transaction, so once. */
async function moveCounts(local: Database, db: Postgres, move: string): Promise<number> {
  const note = `move:${move}:quarantine_counters_minute`;
  if ((await noted(db, note)) > 0) return 0;
  const columns = { bucket_minute: "timestamptz", tenant_id: "text", reason: "text", cnt: "bigint" };
  const rows = local
    .query<Row, []>("SELECT bucket_minute, tenant_id, reason, cnt FROM quarantine_counters_minute")
    .all();
  const add = `on conflict (bucket_minute, tenant_id, reason)
    do update set cnt = quarantine_counters_minute.cnt + excluded.cnt`;
  await db.transaction("moving the counts of rejects", async (tx) => {
    for (let from = 0; from < rows.length; from += batchRows)
      await insert(tx, "quarantine_counters_minute", columns, rows.slice(from, from + batchRows), add);
    await putNote(tx, note, 1);
  });
  return rows.length;
}

/** Where the local store stands in the spool: there the gateway goes on with PostgreSQL. */
async function movePosition(local: Database, db: Postgres): Promise<void> {
  const counts = ["seq", "delivered", "ignored", "refused", "skipped"].map((name) => [name, "bigint"]);
  const columns = {
    epoch: "text",
    gateway_id: "text",
    ...Object.fromEntries(counts),
    updated_at: "timestamptz",
  };
  const rows = local.query<Row, []>("SELECT * FROM sluice_position").all();
  await db.transaction("moving the position", (tx) =>
    insert(tx, "sluice_position", columns, rows, "on conflict do nothing"),
  );
}

/** How far an earlier try came. */
async function noted(db: Postgres, epoch: string): Promise<number> {
  const rows = await db.ask(
    "asking how far the move is",
    (sql) => sql<{ seq: string }[]>`
    select seq from sluice_position where epoch = ${epoch}`,
  );
  return Number(rows[0]?.seq ?? 0);
}

function putNote(tx: Transaction, epoch: string, seq: number) {
  return tx`insert into sluice_position (epoch, gateway_id, seq, delivered, ignored, refused, skipped, updated_at)
    values (${epoch}, 'move', ${seq}, 0, 0, 0, 0, now())
    on conflict (epoch) do update set seq = excluded.seq, updated_at = excluded.updated_at`;
}
