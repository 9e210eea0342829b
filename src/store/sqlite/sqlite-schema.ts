/**
 * The tables in SQLite, under the same names, for a site without servers. Times are ISO 8601 text in UTC, JSON is text, and
 * sluice_change stands for LISTEN/NOTIFY: triggers count in it what other processes change.
 */

function counting(table: string, column: string): string[] {
  return ["INSERT", "UPDATE", "DELETE"].map(
    (operation) => `CREATE TRIGGER IF NOT EXISTS sluice_${table}_${operation.toLowerCase()}
       AFTER ${operation} ON ${table} BEGIN UPDATE sluice_change SET ${column} = ${column} + 1; END`,
  );
}

/** Table → statements that create it if it is missing. */
export const sqliteTables: Readonly<Record<string, readonly string[]>> = {
  sluice_change: [
    `CREATE TABLE IF NOT EXISTS sluice_change (
       id INTEGER PRIMARY KEY CHECK (id = 1), devices INTEGER NOT NULL, settings INTEGER NOT NULL)`,
    "INSERT OR IGNORE INTO sluice_change VALUES (1, 0, 0)",
  ],
  device_registry: [
    `CREATE TABLE IF NOT EXISTS device_registry (
       tenant_id TEXT NOT NULL, device_id TEXT NOT NULL, site_id TEXT NOT NULL,
       status TEXT NOT NULL DEFAULT 'ACTIVE', provision_token_hash TEXT, provisioned_at TEXT, fw_version TEXT,
       metadata TEXT NOT NULL DEFAULT '{}', previous_token_hash TEXT, previous_token_until TEXT,
       PRIMARY KEY (tenant_id, device_id)) WITHOUT ROWID`,
    ...counting("device_registry", "devices"),
    `CREATE INDEX IF NOT EXISTS device_registry_token_idx ON device_registry (provision_token_hash)
       WHERE provision_token_hash IS NOT NULL`,
    `CREATE INDEX IF NOT EXISTS device_registry_previous_token_idx ON device_registry (previous_token_hash)
       WHERE previous_token_hash IS NOT NULL`,
  ],
  app_settings: [
    `CREATE TABLE IF NOT EXISTS app_settings (
       key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL) WITHOUT ROWID`,
    ...counting("app_settings", "settings"),
  ],
  raw_events: [
    `CREATE TABLE IF NOT EXISTS raw_events (
       id INTEGER PRIMARY KEY, ingested_at TEXT NOT NULL, event_ts TEXT, topic TEXT NOT NULL, tenant_id TEXT,
       site_id TEXT, device_id TEXT, msg_type TEXT, payload TEXT NOT NULL, accepted INTEGER NOT NULL DEFAULT 1)`,
    "CREATE INDEX IF NOT EXISTS raw_events_accepted_ingested_idx ON raw_events (accepted, ingested_at DESC)",
  ],
  quarantine_events: [
    `CREATE TABLE IF NOT EXISTS quarantine_events (
       id INTEGER PRIMARY KEY AUTOINCREMENT, ingested_at TEXT NOT NULL, event_ts TEXT, topic TEXT NOT NULL, tenant_id TEXT,
       site_id TEXT, device_id TEXT, msg_type TEXT, reason TEXT NOT NULL, payload TEXT NOT NULL)`,
    "CREATE INDEX IF NOT EXISTS quarantine_events_ingested_idx ON quarantine_events (ingested_at DESC)",
  ],
  quarantine_counters_minute: [
    `CREATE TABLE IF NOT EXISTS quarantine_counters_minute (
       bucket_minute TEXT NOT NULL, tenant_id TEXT NOT NULL, reason TEXT NOT NULL, cnt INTEGER NOT NULL,
       PRIMARY KEY (bucket_minute, tenant_id, reason)) WITHOUT ROWID`,
  ],
  sluice_position: [
    `CREATE TABLE IF NOT EXISTS sluice_position (
       epoch TEXT PRIMARY KEY, gateway_id TEXT NOT NULL, seq INTEGER NOT NULL, delivered INTEGER NOT NULL,
       ignored INTEGER NOT NULL, refused INTEGER NOT NULL, skipped INTEGER NOT NULL, updated_at TEXT NOT NULL)
       WITHOUT ROWID`,
  ],
};
