/** quarantine_events in the local SQLite file. */
import type { Database } from "bun:sqlite";
import { toColumns, toFields, type Columns } from "../../core/columns.ts";
import type { QuarantineRow, QuarantineTable } from "../../core/quarantine-table.ts";
import { onFile } from "./local-file.ts";

export function createSqliteQuarantine(db: Database): QuarantineTable {
  const list = db.query<Columns<QuarantineRow>, Record<string, string | number | null>>(
    `SELECT id, ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, reason, payload
     FROM quarantine_events
     WHERE id > $after AND ($upTo IS NULL OR id <= $upTo) AND ($reason IS NULL OR reason = $reason)
       AND ($tenantId IS NULL OR tenant_id = $tenantId) AND ($deviceId IS NULL OR device_id = $deviceId)
       AND ($since IS NULL OR ingested_at >= $since) AND ($until IS NULL OR ingested_at < $until)
       AND ($ids IS NULL OR id IN (SELECT value FROM json_each($ids)))
     ORDER BY id LIMIT $limit`,
  );
  const lastId = db.query<{ id: number | null }, []>("SELECT max(id) AS id FROM quarantine_events");
  const divide = db.query<{ id: number }, { $id: number; $parts: string }>(
    `INSERT INTO quarantine_events (ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, reason, payload)
     SELECT whole.ingested_at, whole.event_ts, whole.topic, part.value ->> 'tenant_id', part.value ->> 'site_id',
       part.value ->> 'device_id', part.value ->> 'msg_type', whole.reason, part.value ->> 'payload'
     FROM quarantine_events AS whole, json_each($parts) AS part WHERE whole.id = $id RETURNING id`,
  );
  const remove = db.query("DELETE FROM quarantine_events WHERE id IN (SELECT value FROM json_each(?))");

  return {
    list: ({ reason, tenantId, deviceId, ids, since, until, after, upTo, limit }) =>
      onFile(db, () =>
        list
          .all({
            reason: reason ?? null,
            tenantId: tenantId ?? null,
            deviceId: deviceId ?? null,
            ids: ids === undefined ? null : JSON.stringify(ids),
            since: utc(since),
            until: utc(until),
            after,
            upTo: upTo ?? null,
            limit,
          })
          .map((row) => toFields(row)),
      ),
    lastId: () => onFile(db, () => lastId.get()?.id ?? 0),
    remove: (ids) => onFile(db, () => remove.run(JSON.stringify(ids)).changes),
    divide: (id, parts) =>
      onFile(
        db,
        db.transaction(() => {
          const ids = divide.all({ $id: id, $parts: JSON.stringify(parts.map((part) => toColumns(part))) });
          remove.run(JSON.stringify([id]));
          return ids.map((row) => row.id);
        }),
      ),
  };
}

/** As the table holds times, so that they compare as text. */
function utc(time: string | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString().replace("Z", "000Z");
}
