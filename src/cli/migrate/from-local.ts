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
import type { Row } from "../../store/postgres/literals.ts";
import { batchRows, bounded, insert, noted, putNote, putRows } from "./rows.ts";

export interface Moved {
  /** Rows per table that are in PostgreSQL now and were not there before. */
  readonly rows: Readonly<Record<string, number>>;
  /** Rows that PostgreSQL refuses, and why; they stay in the local file. */
  readonly refused: readonly string[];
  /** Where the local file is now. */
  readonly file: string;
}

const refusedNamedMax = 100;

const eventColumns = ["ingested_at", "event_ts", "topic", "tenant_id", "site_id", "device_id", "msg_type"];
const countColumns = ["bucket_minute", "tenant_id", "reason", "cnt"];

interface MovedTable {
  readonly table: string;
  /** Those that move. */
  readonly columns: readonly string[];
  /** What of the local file has them, by a number that ascends. */
  readonly from: string;
  readonly conflict?: string;
  /** What a row that stays behind is called. */
  readonly nameOf: (row: NumberedRow) => string | number | null | undefined;
}

type NumberedRow = Row & { readonly id: number };

/** The ids are made anew. */
const events: readonly MovedTable[] = [
  { table: "raw_events", columns: [...eventColumns, "accepted", "payload"] },
  { table: "quarantine_events", columns: [...eventColumns, "reason", "payload"] },
].map((each) => ({ ...each, from: each.table, nameOf: ({ id }) => id }));

/** Are added to those that PostgreSQL has. */
const counts: MovedTable = {
  table: "quarantine_counters_minute",
  columns: countColumns,
  from: "numbered_counts",
  conflict: `on conflict (bucket_minute, tenant_id, reason)
    do update set cnt = quarantine_counters_minute.cnt + excluded.cnt`,
  nameOf: ({ bucket_minute: minute, tenant_id: tenant, reason }) => `${minute} ${tenant} ${reason}`,
};

/** In the order of their key, and so with the same numbers in every try, unless somebody runs the gateway with the local store in between. */
function numberCounts(local: Database): void {
  const names = countColumns.join(", ");
  local.run(`CREATE TEMP TABLE numbered_counts (id INTEGER PRIMARY KEY, ${names})`);
  local.run(
    `INSERT INTO numbered_counts (${names}) SELECT ${names} FROM quarantine_counters_minute
     ORDER BY bucket_minute, tenant_id, reason`,
  );
}

/**
 * @param progress called with how many rows of events and counts have moved
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
    numberCounts(local);
    let steps = 0;
    const step = (more: number) => progress((steps += more));
    for (const moving of [...events, counts])
      rows[moving.table] = await moveRows({ local, db, move, moving, refused, step });
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

interface RowsMove {
  readonly local: Database;
  readonly db: Postgres;
  readonly move: string;
  readonly moving: MovedTable;
  readonly refused: string[];
  /** Called per batch with how many rows of it have moved. */
  readonly step: (more: number) => void;
}

async function moveRows({ local, db, move, moving, refused, step }: RowsMove): Promise<number> {
  const { table, columns, from, conflict, nameOf } = moving;
  const select = local.query<NumberedRow, [number, number]>(
    `SELECT id, ${columns.join(", ")} FROM ${from} WHERE id > ? ORDER BY id LIMIT ?`,
  );
  // An older version moved all counts at once, and noted that under the name of their table.
  if (from !== table && (await noted(db, `move:${move}:${table}`)).seq > 0) return 0;
  const note = `move:${move}:${from}`;
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

  function put(batch: readonly NumberedRow[]): Promise<number> {
    return putRows(
      batch,
      columns,
      (part) =>
        db.transaction(`moving ${table}`, async (tx) => {
          await insert(tx, table, columns, part, conflict);
          const last = part.at(-1);
          if (last !== undefined) await putNote(tx, note, last.id);
          return part.length;
        }),
      async (row, why) => {
        await db.transaction(`passing over a row of ${table}`, (tx) => putNote(tx, note, row.id, 1));
        remember(refused, `${table} ${nameOf(row)}: ${why}`);
      },
    );
  }
}

function remember(refused: string[], row: string): void {
  if (refused.length < refusedNamedMax) refused.push(row);
}

/** What PostgreSQL has already stays as it is there. */
const keepTheirs = "on conflict do nothing";

const deviceColumns = [
  ...["tenant_id", "device_id", "site_id", "status", "provision_token_hash", "provisioned_at", "fw_version"],
  ...["metadata", "previous_token_hash", "previous_token_until"],
];

/** One that somebody put into the local file without a time of its registration is registered now: PostgreSQL wants one. */
async function moveDevices(local: Database, db: Postgres, refused: string[]): Promise<number> {
  const names = deviceColumns.join(", ");
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
      deviceColumns,
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
  const columns = ["key", "value", "updated_at"];
  const rows = local.query<Row, []>("SELECT key, value, updated_at FROM app_settings").all();
  return db.transaction("moving settings", (tx) => insert(tx, "app_settings", columns, rows, keepTheirs));
}

/** The local store's position in the spool: the gateway continues there with PostgreSQL. */
async function movePosition(local: Database, db: Postgres): Promise<void> {
  const totals = ["delivered", "ignored", "refused", "skipped"];
  const columns = ["epoch", "gateway_id", "seq", ...totals, "updated_at"];
  const rows = local.query<Row, []>("SELECT * FROM sluice_position").all();
  await db.transaction("moving the position", (tx) =>
    insert(tx, "sluice_position", columns, rows, keepTheirs),
  );
}
