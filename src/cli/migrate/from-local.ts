/**
 * Moves a site from its local store to PostgreSQL: devices with their tokens' hashes, settings, rows, counts and the
 * position in the spool, so that the gateway continues after the last row as if nothing had happened.
 *
 * Rows move in batches, each in one transaction with a note of how far the move has come, so an interrupted move
 * continues where it was and stores nothing twice. The gateway must be stopped: two writers cannot agree on what the
 * last row is. The local file stays, under another name.
 */
import type { Database } from "bun:sqlite";
import { renameSync } from "node:fs";
import type { Config } from "../../config/index.ts";
import { systemClock } from "../../core/clock.ts";
import { isThere } from "../../core/file/owner.ts";
import type { Postgres } from "../../store/postgres/postgres-client.ts";
import { migratePostgres } from "../../store/postgres/migrate.ts";
import { localFile, openLocalFile } from "../../store/sqlite/local-file.ts";
import { Spool } from "../../spool/spool.ts";
import { batchRows, bounded, insert, noted, putNote, putRows, type Row } from "./rows.ts";

export interface Moved {
  /** Rows per table that are in PostgreSQL now and were not there before. */
  readonly rows: Readonly<Record<string, number>>;
  /** Rows that PostgreSQL refuses, and why; they stay in the local file. */
  readonly refused: readonly string[];
  /** Where the local file is now. */
  readonly file: string;
}

const refusedNamedMax = 100;

/** Tables of events: the columns that move, and their types. The ids are made anew. */
const eventTables: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  raw_events: columnsWith({ accepted: "boolean", payload: "jsonb" }),
  quarantine_events: columnsWith({ reason: "text", payload: "jsonb" }),
};

function columnsWith(more: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const texts = ["topic", "tenant_id", "site_id", "device_id", "msg_type"].map((name) => [name, "text"]);
  return { ingested_at: "timestamptz", event_ts: "timestamptz", ...Object.fromEntries(texts), ...more };
}

/**
 * @param progress called with how many rows of events have moved
 * @throws if a gateway has the spool, there is no local store, or PostgreSQL is away; the next run continues the move
 */
export async function moveLocal(
  config: Config,
  db: Postgres,
  progress: (rows: number) => void,
): Promise<Moved> {
  const { dataDir } = config.general;
  const path = localFile(dataDir);
  if (!isThere(path)) throw new Error(`there is no local store at ${path}: see DATA_DIR`);
  const spool = new Spool({ dataDir, settings: config.spool, clock: systemClock });
  const { db: local } = openLocalFile(path);
  try {
    await migratePostgres(db);
    const rows: Record<string, number> = {};
    const refused: string[] = [];
    const move = moveId(local);
    rows["device_registry"] = await moveDevices(local, db, refused);
    rows["app_settings"] = await moveSettings(local, db);
    let events = 0;
    const step = (more: number) => progress((events += more));
    for (const [table, columns] of Object.entries(eventTables))
      rows[table] = await moveEvents({ local, db, move, table, columns, refused, step });
    rows["quarantine_counters_minute"] = await moveCounts(local, db, move, refused);
    await movePosition(local, db);
    spool.setCursor("postgres", spool.cursorOf("local"));
    local.close();
    const file = `${path}.moved-${new Date().toISOString().replaceAll(/[-:.]/g, "")}`;
    renameSync(path, file);
    return { rows, refused, file };
  } finally {
    local.close();
    spool.close();
  }
}

/** The name of this move in PostgreSQL, the same after any interruption. */
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
  readonly columns: Readonly<Record<string, string>>;
  readonly refused: string[];
  /** Called per batch with how many rows of it have moved. */
  readonly step: (more: number) => void;
}

async function moveEvents({ local, db, move, table, columns, refused, step }: EventsMove): Promise<number> {
  const select = local.query<Row & { id: number }, [number, number]>(
    `SELECT id, ${Object.keys(columns).join(", ")} FROM ${table} WHERE id > ? ORDER BY id LIMIT ?`,
  );
  const note = `move:${move}:${table}`;
  const before = await noted(db, note);
  if (before.refused > 0)
    remember(refused, `${table}: rows that PostgreSQL refused in an earlier try: ${before.refused}`);
  let moved = 0;
  for (let after = before.seq; ;) {
    const batch = bounded(select.iterate(after, batchRows));
    const last = batch.at(-1);
    if (last === undefined) return moved;
    const more = await put(batch);
    moved += more;
    after = last.id;
    step(more);
  }

  function put(batch: readonly (Row & { id: number })[]): Promise<number> {
    return putRows(
      batch,
      (part) =>
        db.transaction(`moving ${table}`, async (tx) => {
          await insert(tx, table, columns, part);
          const last = part.at(-1);
          if (last !== undefined) await putNote(tx, note, last.id);
          return part.length;
        }),
      async (row, why) => {
        await db.transaction(`passing over a row of ${table}`, (tx) => putNote(tx, note, row.id, 1));
        remember(refused, `${table} ${row.id}: ${why}`);
      },
    );
  }
}

function remember(refused: string[], row: string): void {
  if (refused.length < refusedNamedMax) refused.push(row);
}

/** What PostgreSQL has already stays as it is there. */
const keepTheirs = "on conflict do nothing";

const deviceColumns = {
  ...Object.fromEntries(["tenant_id", "device_id", "site_id", "status"].map((name) => [name, "text"])),
  provision_token_hash: "text",
  provisioned_at: "timestamptz",
  fw_version: "text",
  metadata: "jsonb",
  previous_token_hash: "text",
  previous_token_until: "timestamptz",
};

/** One that somebody put into the local file without a time of its registration is registered now: PostgreSQL wants one. */
async function moveDevices(local: Database, db: Postgres, refused: string[]): Promise<number> {
  const names = Object.keys(deviceColumns).join(", ");
  const select = local.query<Row, [string, string, number]>(
    `SELECT ${names.replace("provisioned_at", "ifnull(provisioned_at, datetime() || 'Z') AS provisioned_at")} FROM device_registry
     WHERE (tenant_id, device_id) > (?, ?) ORDER BY tenant_id, device_id LIMIT ?`,
  );
  let added = 0;
  let [tenant, device] = ["", ""];
  for (;;) {
    const batch = bounded(select.iterate(tenant, device, batchRows));
    const last = batch.at(-1);
    if (last === undefined) return added;
    added += await putRows(
      batch,
      (part) =>
        db.transaction("moving devices", (tx) =>
          insert(tx, "device_registry", deviceColumns, part, keepTheirs),
        ),
      (row, why) => remember(refused, `device_registry ${row["tenant_id"]}/${row["device_id"]}: ${why}`),
    );
    [tenant, device] = [String(last["tenant_id"]), String(last["device_id"])];
  }
}

function moveSettings(local: Database, db: Postgres): Promise<number> {
  const columns = { key: "text", value: "text", updated_at: "timestamptz" };
  const rows = local.query<Row, []>("SELECT key, value, updated_at FROM app_settings").all();
  return db.transaction("moving settings", (tx) => insert(tx, "app_settings", columns, rows, keepTheirs));
}

/** Adds the counts to those in PostgreSQL: in one transaction, and so once. */
async function moveCounts(local: Database, db: Postgres, move: string, refused: string[]): Promise<number> {
  const note = `move:${move}:quarantine_counters_minute`;
  if ((await noted(db, note)).seq > 0) return 0;
  const columns = { bucket_minute: "timestamptz", tenant_id: "text", reason: "text", cnt: "bigint" };
  const rows = local
    .query<Row, []>("SELECT bucket_minute, tenant_id, reason, cnt FROM quarantine_counters_minute")
    .all();
  const add = `on conflict (bucket_minute, tenant_id, reason)
    do update set cnt = quarantine_counters_minute.cnt + excluded.cnt`;
  const table = "quarantine_counters_minute";
  return db.transaction("moving the counts of rejects", async (tx) => {
    let moved = 0;
    for (let from = 0; from < rows.length; from += batchRows)
      moved += await putRows(
        rows.slice(from, from + batchRows),
        async (part) => {
          await tx.savepoint((inner) => insert(inner, table, columns, part, add));
          return part.length;
        },
        ({ bucket_minute: minute, tenant_id: tenant, reason }, why) =>
          remember(refused, `${table} ${minute} ${tenant} ${reason}: ${why}`),
      );
    await putNote(tx, note, 1);
    return moved;
  });
}

/** The local store's position in the spool: the gateway continues there with PostgreSQL. */
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
    insert(tx, "sluice_position", columns, rows, keepTheirs),
  );
}
