/**
 * The registry in the local SQLite file, for a site without a PostgreSQL. Every call is answered at once. Changes by other
 * processes (`sluice devices revoke`) are seen in the counters that triggers keep in sluice_change, read four times per second.
 * Rejected alternative: PRAGMA data_version, since the sink commits to the same file all the time.
 */
import type { Database, SQLQueryBindings } from "bun:sqlite";
import type { Clock } from "../../core/clock.ts";
import { toColumns, toFields, type Columns } from "../../core/columns.ts";
import {
  type DeviceAuth,
  type DeviceChange,
  type DeviceFilter,
  type DeviceId,
  type Device,
  byDevice,
  type NewDevice,
} from "../../core/device.ts";
import type { Registry, RegistryWatcher, TokenOwner } from "../../core/registry.ts";
import { parseToPrint } from "../../core/text/json-digits.ts";
import { onFile } from "./local-file.ts";

const pollEveryMs = 250;

export interface SqliteRegistryOptions {
  readonly db: Database;
  /** Throws if the file is gone, and with it what is written. */
  readonly checkFiles: () => void;
  readonly clock: Clock;
}

/** As SQLite keeps a device: times and JSON are text. */
type DeviceRow = Columns<
  Omit<Device, "tokenSet" | "metadata"> & Pick<DeviceAuth, "tokenHash" | "previousTokenHash">
> & {
  readonly metadata: string;
  readonly previous_token_until: string | null;
};

type TokenColumns = Omit<Columns<TokenOwner>, "provision_token_hash">;

interface Changes {
  readonly devices: number;
  readonly settings: number;
}

export function createSqliteRegistry({ db, checkFiles, clock }: SqliteRegistryOptions): Registry {
  const one = db.query<DeviceRow, [string, string]>(
    "SELECT * FROM device_registry WHERE tenant_id = ? AND device_id = ?",
  );
  const byToken = db.query<TokenColumns, [string, string]>(
    "SELECT tenant_id, device_id FROM device_registry WHERE provision_token_hash IN (?, ?)",
  );
  const byPreviousToken = db.query<TokenColumns, [string, string, string]>(
    "SELECT tenant_id, device_id FROM device_registry WHERE previous_token_hash IN (?, ?) AND previous_token_until > ?",
  );
  const read = ({ tenantId, deviceId }: DeviceId) => one.get(tenantId, deviceId) ?? undefined;
  const now = () => new Date(clock.wallMs()).toISOString();

  const add = db.transaction((devices: readonly NewDevice[]) =>
    devices.map((d) => {
      const { status = "ACTIVE", tokenHash = null, fwVersion = null, metadata = {} } = d;
      const until = d.previousTokenUntil ?? null;
      // In UTC, for it is compared as text.
      const previous = [d.previousTokenHash ?? null, until && new Date(until).toISOString()];
      const values = [d.tenantId, d.deviceId, d.siteId, status, tokenHash, now(), fwVersion, ...previous];
      const done = db
        .query(
          `INSERT INTO device_registry (tenant_id, device_id, site_id, status, provision_token_hash, provisioned_at,
             fw_version, previous_token_hash, previous_token_until, metadata)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        )
        .run(...values, JSON.stringify(metadata));
      return done.changes > 0;
    }),
  );

  const update = db.transaction((id: DeviceId, change: DeviceChange) => {
    const row = read(id);
    if (row === undefined) return undefined;
    const columns = Object.entries(changedColumns(row, change, clock.wallMs()));
    if (columns.length > 0) {
      const set = columns.map(([column]) => `${column} = ?`).join(", ");
      const values = columns.map(([, value]) => value);
      db.query(`UPDATE device_registry SET ${set} WHERE tenant_id = ? AND device_id = ?`).run(
        ...values,
        id.tenantId,
        id.deviceId,
      );
    }
    return read(id);
  });

  function watch(watcher: RegistryWatcher): () => Promise<void> {
    let seen = changes(db);
    let stands = true;
    watcher.restored();
    const timer = clock.every(pollEveryMs, () => {
      try {
        checkFiles();
        const found = changes(db);
        if (found.devices !== seen.devices) watcher.tenant(null);
        if (found.settings !== seen.settings) watcher.settings();
        if (!stands) watcher.restored();
        [seen, stands] = [found, true];
      } catch {
        if (stands) watcher.lost();
        stands = false;
      }
    });
    return () => Promise.resolve(timer.cancel());
  }

  /** Hex is read in both cases; a device that has a token twice is named once. */
  function ownersOf(tokenHash: string): TokenOwner[] {
    const spelled = [tokenHash, tokenHash.toUpperCase()] as const;
    const rows = [...byToken.all(...spelled), ...byPreviousToken.all(...spelled, now())];
    const owners = rows.map((row) => toFields({ ...row, provision_token_hash: tokenHash }));
    return [...byDevice(owners).values()];
  }

  const answered =
    <A extends readonly unknown[], T>(work: (...args: A) => T) =>
    (...args: A) =>
      onFile(db, () => work(...args));
  const written = <A extends readonly unknown[], T>(work: (...args: A) => T) =>
    answered((...args: A) => {
      checkFiles();
      return work(...args);
    });

  return {
    watch,
    find: answered((ids: readonly DeviceId[]) => ids.flatMap((id) => read(id) ?? []).map(authOf)),
    owners: answered((tokenHashes: readonly string[]) => tokenHashes.flatMap(ownersOf)),
    provision: written((devices: readonly NewDevice[]) => void add.immediate(devices)),
    add: written((devices: readonly NewDevice[]) => add.immediate(devices)),
    list: answered((filter: DeviceFilter) => selected(db, filter).map(deviceOf)),
    get: answered((id: DeviceId) => deviceOrNone(read(id))),
    update: written((id: DeviceId, change: DeviceChange) => deviceOrNone(update.immediate(id, change))),
    remove: written(
      ({ tenantId, deviceId }: DeviceId) =>
        db.query("DELETE FROM device_registry WHERE tenant_id = ? AND device_id = ?").run(tenantId, deviceId)
          .changes > 0,
    ),
    settings: answered(() => {
      const rows = db.query<{ key: string; value: string }, []>("SELECT key, value FROM app_settings").all();
      return Object.fromEntries(rows.map((row) => [row.key, row.value]));
    }),
    setSetting: written((key: string, value: string) => {
      db.query("INSERT OR REPLACE INTO app_settings (key, value, updated_at) VALUES (?, ?, ?)").run(
        key,
        value,
        now(),
      );
    }),
  };
}

function changes(db: Database): Changes {
  const row = db.query<Changes, []>("SELECT devices, settings FROM sluice_change").get();
  if (row === null) throw new Error("sluice_change is empty");
  return row;
}

function selected(db: Database, filter: DeviceFilter): DeviceRow[] {
  const { tenantId, siteId, status, match, after, limit } = filter;
  const tests: [string, SQLQueryBindings[]][] = [];
  if (tenantId !== undefined) tests.push(["tenant_id = ?", [tenantId]]);
  if (siteId !== undefined) tests.push(["site_id = ?", [siteId]]);
  if (status !== undefined) tests.push(["status = ?", [status]]);
  if (match !== undefined) tests.push(["instr(device_id, ?) > 0", [match]]);
  if (after !== undefined) tests.push(["(tenant_id, device_id) > (?, ?)", [after.tenantId, after.deviceId]]);
  const where = tests.map(([test]) => ` AND ${test}`).join("");
  const values = tests.flatMap(([, given]) => given);
  return db
    .query<DeviceRow, SQLQueryBindings[]>(
      `SELECT * FROM device_registry WHERE 1${where} ORDER BY tenant_id, device_id LIMIT ?`,
    )
    .all(...values, limit);
}

function changedColumns(row: DeviceRow, change: DeviceChange, nowMs: number): Record<string, string | null> {
  const { siteId, status, fwVersion, tokenHash, graceMs = 0 } = change;
  const metadata = change.metadata && JSON.stringify(change.metadata);
  const columns = { siteId, status, fwVersion, metadata, tokenHash };
  if (tokenHash === undefined) return toColumns(columns);
  const kept = graceMs > 0 && row.provision_token_hash !== null;
  return toColumns({
    ...columns,
    previousTokenHash: kept ? row.provision_token_hash : null,
    previousTokenUntil: kept ? new Date(nowMs + graceMs).toISOString() : null,
  });
}

function authOf(row: DeviceRow): DeviceAuth {
  const { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntil } =
    toFields(row);
  const previousTokenUntilMs = previousTokenUntil === null ? null : Date.parse(previousTokenUntil);
  return { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs };
}

function deviceOrNone(row: DeviceRow | undefined): Device | undefined {
  return row && deviceOf(row);
}

function deviceOf(row: DeviceRow): Device {
  const { tenantId, deviceId, siteId, status, tokenHash, provisionedAt, fwVersion } = toFields(row);
  const tokenSet = tokenHash !== null;
  const metadata = parseToPrint(row.metadata) as Device["metadata"];
  return { tenantId, deviceId, siteId, status, tokenSet, provisionedAt, fwVersion, metadata };
}
