/**
 * quarantine_events in the local SQLite file.
 *
 * A question by a rare reason reads the table from one end to the other, so it reads some ids at a time, and others have their turn in
 * between. Rejected alternative: an index on the reason, which every reject would pay for, and whose making would hold up the start
 * of a site that has a million of them.
 */
import type { Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import { toColumns, toFields, type Columns } from "../../core/columns.ts";
import type { QuarantineFilter, QuarantineRow, QuarantineTable } from "../../core/quarantine-table.ts";
import { onFile } from "./local-file.ts";

/** Read at a time, which takes some ms. */
const idsMax = 2_000;

/** Of rows that are named, those from the first to the last are all that is to be read. */
function spanOf({ ids, after, upTo = Number.MAX_SAFE_INTEGER }: QuarantineFilter) {
  if (ids === undefined) return { after, upTo };
  return { after: Math.max(after, Math.min(...ids) - 1), upTo: Math.min(upTo, Math.max(...ids)) };
}

export function createSqliteQuarantine(db: Database): QuarantineTable {
  const list = db.query<Columns<QuarantineRow>, Record<string, string | number | null>>(
    `SELECT id, ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, reason, payload
     FROM quarantine_events
     WHERE id BETWEEN $from AND $to AND ($reason IS NULL OR reason = $reason)
       AND ($tenantId IS NULL OR tenant_id = $tenantId) AND ($deviceId IS NULL OR device_id = $deviceId)
       AND ($since IS NULL OR ingested_at >= $since) AND ($until IS NULL OR ingested_at < $until)
       AND ($ids IS NULL OR id IN (SELECT value FROM json_each($ids)))
     ORDER BY id LIMIT $limit`,
  );
  const nextId = db.query<{ id: number }, [number, number]>(
    "SELECT id FROM quarantine_events WHERE id > ? AND id <= ? ORDER BY id LIMIT 1",
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
    async list(filter) {
      const { reason, tenantId, deviceId, ids, since, until, limit } = filter;
      const { after, upTo } = spanOf(filter);
      const where = {
        reason: reason ?? null,
        tenantId: tenantId ?? null,
        deviceId: deviceId ?? null,
        ids: ids === undefined ? null : JSON.stringify(ids),
        since: utc(since),
        until: utc(until),
      };
      const found: QuarantineRow[] = [];
      for (let last = after; found.length < limit; await setImmediate()) {
        const before = last;
        const rows = await onFile(db, () => {
          const from = nextId.get(before, upTo)?.id;
          if (from === undefined) return undefined;
          last = Math.min(from + idsMax - 1, upTo);
          return list.all({ ...where, from, to: last, limit: limit - found.length });
        });
        if (rows === undefined) break;
        found.push(...rows.map((row) => toFields(row)));
      }
      return found;
    },
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
