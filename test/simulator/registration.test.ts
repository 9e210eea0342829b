import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import type { FleetDevice } from "../../src/simulator/device.ts";
import { createFleet } from "../../src/simulator/fleet.ts";
import { registryCsv, registrySql } from "../../src/simulator/registration.ts";

const { devices } = createFleet({ seed: 1, devices: 1200, tenants: ["acme", "o'hara, inc"], faults: {} });

function load(db: Database, rows: readonly FleetDevice[]): unknown[] {
  for (const statement of registrySql(rows)) db.run(statement);
  const columns = "tenant_id, device_id, site_id, status, provision_token_hash";
  return db.query(`SELECT ${columns} FROM device_registry ORDER BY rowid`).values();
}

function registry(): Database {
  const db = new Database(":memory:");
  db.run(
    "CREATE TABLE device_registry (tenant_id TEXT, device_id TEXT, site_id TEXT, status TEXT, provision_token_hash TEXT, PRIMARY KEY (tenant_id, device_id))",
  );
  return db;
}

describe("a fleet as rows of the registry", () => {
  const rows = devices.map((d) => [d.tenantId, d.deviceId, d.siteId, d.status, d.tokenHash]);

  test("SQL stores every device, and a second run changes nothing", () => {
    const db = registry();
    expect(load(db, devices)).toEqual(rows);
    expect(load(db, devices)).toEqual(rows);
  });

  test("SQL brings a device of another seed to this fleet's token", () => {
    const db = registry();
    const other = createFleet({ seed: 2, devices: 1200, tenants: ["acme", "o'hara, inc"], faults: {} });
    load(db, other.devices);
    expect(load(db, devices)).toEqual(rows);
  });

  test("CSV quotes what needs it and leaves NULL empty", () => {
    const [head, ...lines] = [...registryCsv(devices)];
    expect(head).toBe("tenant_id,device_id,site_id,status,provision_token_hash\n");
    expect(lines).toHaveLength(devices.length);
    expect(lines[1]).toBe(`"o'hara, inc",dev-0001,lab-2,ACTIVE,${devices[1]?.tokenHash ?? ""}\n`);
    expect(lines.at(-1)).toEndWith(",ACTIVE,\n");
  });

  test("neither SQL nor CSV holds a token", () => {
    const text = [...registrySql(devices), ...registryCsv(devices)].join("");
    expect(text).not.toContain("tok-");
  });
});
