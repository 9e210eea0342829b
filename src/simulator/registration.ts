/**
 * Writes a fleet as rows for the device registry, with token hashes only, so that an operator can register it in the
 * gateway's registry.
 *
 * As SQL that PostgreSQL and SQLite both accept, and that may be run again: a device that exists is brought to the
 * fleet's state. Or as CSV, for `COPY device_registry (…) FROM STDIN WITH (FORMAT csv, HEADER)`.
 */
import { csvCell } from "../core/text/csv-cell.ts";
import type { FleetDevice } from "./device.ts";

const columns = "tenant_id, device_id, site_id, status, provision_token_hash";
const rowsPerInsert = 500;

export function* registrySql(devices: readonly FleetDevice[]): Generator<string> {
  for (let from = 0; from < devices.length; from += rowsPerInsert) {
    const rows = devices
      .slice(from, from + rowsPerInsert)
      .map((device) => `(${cells(device).map(sqlText).join(", ")})`);
    yield `INSERT INTO device_registry (${columns}) VALUES\n  ${rows.join(",\n  ")}
ON CONFLICT (tenant_id, device_id) DO UPDATE SET
  site_id = excluded.site_id, status = excluded.status, provision_token_hash = excluded.provision_token_hash;\n`;
  }
}

export function* registryCsv(devices: readonly FleetDevice[]): Generator<string> {
  yield `${columns.replaceAll(" ", "")}\n`;
  for (const device of devices) yield `${cells(device).map(csvText).join(",")}\n`;
}

function cells({ tenantId, deviceId, siteId, status, tokenHash }: FleetDevice): (string | null)[] {
  return [tenantId, deviceId, siteId, status, tokenHash];
}

function sqlText(text: string | null): string {
  return text === null ? "NULL" : `'${text.replaceAll("'", "''")}'`;
}

/** An empty cell without quotes is NULL to PostgreSQL. */
function csvText(text: string | null): string {
  return text === "" ? '""' : csvCell(text ?? "");
}
