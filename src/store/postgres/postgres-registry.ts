/**
 * The registry in PostgreSQL. A look-up is one query for every device that waits; administration is plain SQL. A device_registry
 * without the overlap columns (an existing deployment, not migrated) is read as it is (find.ts).
 */
import { explain, type Log } from "../../core/log/log.ts";
import { mustBeShown } from "./hidden.ts";
import { insertOf, literal } from "./literals.ts";
import type { Postgres, Transaction } from "./postgres-client.ts";
import { hasOverlapColumns, whenTablesExist } from "./migrate.ts";
import { overlapColumns } from "./postgres-schema.ts";
import { watchChanges } from "./changes.ts";
import { createFind } from "./find.ts";
import { findOwners } from "./find-owners.ts";
import { inHalves } from "./halves.ts";
import { toColumns, toFields, type Columns } from "../../core/columns.ts";
import { parseToPrint } from "../../core/text/json-digits.ts";
import {
  type DeviceAuth,
  type DeviceChange,
  type DeviceFilter,
  type DeviceId,
  type Device,
  byKey,
  deviceKey,
  type NewDevice,
} from "../../core/device.ts";
import type { Registry, TokenOwner } from "../../core/registry.ts";

export interface PostgresRegistryOptions {
  readonly db: Postgres;
  readonly log: Log;
}

/** As PostgreSQL gives a device. */
type DeviceRow = Omit<Columns<Device>, "metadata"> & { readonly metadata: string | null };

/**
 * As text, char(n) without its blanks. A time is written by the server, for how it shows one otherwise hangs on DateStyle; infinity becomes
 * NULL. Metadata of which a site has made text may be no JSON.
 */
const deviceColumns = `tenant_id::text, device_id::text, coalesce(site_id::text, '') as site_id, coalesce(status::text, '') as status,
  provision_token_hash is not null as token_set,
  to_char(provisioned_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as provisioned_at, fw_version,
  to_jsonb(metadata)::text as metadata`;

export function createPostgresRegistry({ db, log }: PostgresRegistryOptions): Registry {
  const tablesExist = whenTablesExist(db, ["device_registry"]);

  const found = createFind({ db, log });

  async function find(ids: readonly DeviceId[]): Promise<DeviceAuth[]> {
    await tablesExist();
    return found(ids);
  }

  async function owners(tokenHashes: readonly string[]): Promise<TokenOwner[]> {
    await tablesExist();
    return findOwners(db, tokenHashes);
  }

  async function provision(devices: readonly NewDevice[]): Promise<void> {
    const refused: { device: DeviceId; error: string }[] = [];
    await inHalves(devices, add, (device, error) => refused.push({ device, error: explain(error) }));
    if (refused.length === 0) return;
    log.warn(
      { not_registered: refused.length, ...refused[0] },
      "AUTO_PROVISION cannot register what PostgreSQL refuses",
    );
  }

  async function add(devices: readonly NewDevice[]): Promise<boolean[]> {
    await tablesExist();
    return db.transaction("registering devices", (tx) => insertDevices(tx, devices));
  }

  /** A page goes on behind the last one by the columns' own order, which that of their text need not be (citext). */
  async function list(filter: DeviceFilter): Promise<Device[]> {
    await tablesExist();
    const { tenantId = null, siteId = null, status = null, match = null, after, limit } = filter;
    const rows = await db.query(
      "listing devices",
      (sql) => sql<DeviceRow[]>`
        select ${sql.unsafe(deviceColumns)} from device_registry r
        where (${tenantId}::text is null or tenant_id = ${tenantId})
          and (${siteId}::text is null or site_id = ${siteId})
          and (${status}::text is null or status = ${status})
          and (${match}::text is null or position(${match}::text in (device_id::text collate "C")) > 0)
          and (${after?.tenantId ?? null}::text is null
            or (r.tenant_id, r.device_id) > (${after?.tenantId ?? null}, ${after?.deviceId ?? null}))
        order by r.tenant_id, r.device_id limit ${limit}::int`,
    );
    return rows.map(deviceOf);
  }

  async function get(id: DeviceId): Promise<Device | undefined> {
    await tablesExist();
    const rows = await db.query(
      "reading a device",
      (sql) => sql<DeviceRow[]>`select ${sql.unsafe(deviceColumns)} from device_registry
        where tenant_id = ${id.tenantId} and device_id = ${id.deviceId}`,
    );
    return rows[0] && deviceOf(rows[0]);
  }

  /** Values are literals, which take a column's type whatever type a site has given it: a status may be an enum. */
  async function update(
    id: DeviceId,
    { graceMs, metadata, ...change }: DeviceChange,
  ): Promise<Device | undefined> {
    await tablesExist();
    return db.transaction("changing a device", async (tx) => {
      if (change.tokenHash !== undefined) await keepPreviousToken(tx, id, graceMs);
      const values = toColumns({ ...change, metadata: metadata && JSON.stringify(metadata) });
      const set = Object.entries(values).map(([column, value]) => `${column} = ${literal(value)}`);
      const rows = await tx<DeviceRow[]>`
        update device_registry set ${tx.unsafe(set.join(", ") || "status = status")}
        where tenant_id = ${id.tenantId} and device_id = ${id.deviceId}
        returning ${tx.unsafe(deviceColumns)}`;
      return rows[0] && deviceOf(rows[0]);
    });
  }

  async function remove(id: DeviceId): Promise<boolean> {
    await tablesExist();
    const rows = await db.transaction(
      "removing a device",
      (tx) => tx`delete from device_registry where tenant_id = ${id.tenantId} and device_id = ${id.deviceId}
        returning 1`,
    );
    return rows.length > 0;
  }

  async function settings(): Promise<Record<string, string>> {
    await tablesExist();
    const rows = await db.ask<{ key: string; value: string }>(
      "reading app_settings",
      "select key, value from app_settings where value is not null",
    );
    if (rows.length === 0) await mustBeShown(db, "app_settings");
    return Object.fromEntries(rows.map((row) => [row.key, row.value]));
  }

  async function setSetting(name: string, value: string): Promise<void> {
    await tablesExist();
    await db.transaction(
      "writing app_settings",
      (tx) => tx`insert into app_settings (key, value, updated_at) values (${name}, ${value}, now())
        on conflict (key) do update set value = excluded.value, updated_at = excluded.updated_at`,
    );
  }

  return {
    find,
    owners,
    provision,
    watch: (watcher) => watchChanges({ db, log, tablesExist, watcher }),
    settings,
    setSetting,
    list,
    get,
    add,
    update,
    remove,
  };
}

/** @returns per device whether it is new; of two with one id the first is added */
export async function insertDevices(tx: Transaction, devices: readonly NewDevice[]): Promise<boolean[]> {
  // An old deployment has no such columns, and most devices no such token.
  const overlap = devices.some((d) => d.previousTokenHash) ? Object.keys(overlapColumns) : [];
  const insert = insertOf(
    "device_registry",
    [...newColumns, ...overlap],
    devices.toSorted(byKey).map(newRow),
  );
  const rows = await tx.unsafe<{ tenant_id: string; device_id: string }[]>(
    `${insert} on conflict (tenant_id, device_id) do nothing returning tenant_id::text, device_id::text`,
  );
  const left = new Set(rows.map((row) => deviceKey(row.tenant_id, row.device_id)));
  return devices.map((d) => left.delete(deviceKey(d.tenantId, d.deviceId)));
}

const newColumns = [
  "tenant_id",
  "device_id",
  "site_id",
  "status",
  "provision_token_hash",
  "fw_version",
  "metadata",
];

/** Keeps the present token as the previous one for `graceMs`, or forgets the previous one. */
async function keepPreviousToken(tx: Transaction, id: DeviceId, graceMs = 0): Promise<void> {
  if (!(await hasOverlapColumns(tx))) {
    if (graceMs === 0) return;
    throw new Error("device_registry has no room for a previous token: run `sluice migrate` first");
  }
  await tx`update device_registry set
      previous_token_hash = case when ${graceMs}::float8 > 0 then provision_token_hash end,
      previous_token_until = case when ${graceMs}::float8 > 0 and provision_token_hash is not null
        then now() + ${graceMs}::float8 * interval '1 millisecond' end
    where tenant_id = ${id.tenantId} and device_id = ${id.deviceId}`;
}

function deviceOf(row: DeviceRow): Device {
  const metadata = parseToPrint(row.metadata ?? "null") as Device["metadata"] | null;
  return { ...toFields(row), metadata: metadata ?? {} };
}

function newRow(device: NewDevice) {
  const { tenantId, deviceId, siteId, status = "ACTIVE", tokenHash = null, fwVersion = null } = device;
  const { previousTokenHash = null, previousTokenUntil = null } = device;
  const metadata = JSON.stringify(device.metadata ?? {});
  const overlap = { previousTokenHash, previousTokenUntil };
  return toColumns({ tenantId, deviceId, siteId, status, tokenHash, fwVersion, metadata, ...overlap });
}
