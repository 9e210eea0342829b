/** What goes in by INSERT, one by one or in a trial, is what goes in by COPY, to the last character. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { openPostgres, send, type Postgres } from "../../../src/store/postgres/postgres-client.ts";
import { strangerRowsMax } from "../../../src/store/counted-tenants.ts";
import { migratePostgres } from "../../../src/store/postgres/migrate.ts";
import { tryEach } from "../../../src/store/postgres/trial.ts";
import { writeByCopy, writeByInsert, type Write } from "../../../src/store/postgres/write.ts";
import { event, reject } from "../../contract/entries.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
const storable = fc.string({ unit: "binary" }).map((s) => s.replaceAll("\0", "").toWellFormed());
const sharp = fc.string({
  unit: fc.constantFrom("\\", "\t", "\n", "\r", "N", ".", '"', "'", "$", ",", ";", "é", "🌊"),
});
const text = fc.oneof(storable, sharp);
const entry = fc
  .record({
    kind: fc.constantFrom("event", "reject", "mirrored", "counted"),
    topic: text,
    tenantId: fc.option(text),
    siteId: fc.option(text),
    eventMs: fc.option(fc.integer({ min: -62_000_000_000_000, max: 9_000_000_000_000 })),
    note: text,
  })
  .map(({ kind, note, ...more }) => {
    const payload = kind === "counted" ? "" : JSON.stringify({ note });
    const all = { ...more, payload, ...(kind === "mirrored" && { mirror: true as const }) };
    return kind === "event" ? event(1, all) : reject(1, { ...all, reason: more.topic });
  });

describe.skipIf(unavailable !== "")(`writing into PostgreSQL ${unavailable}`, () => {
  let db: Postgres;
  beforeAll(async () => {
    db = openPostgres({
      url: await (await sharedPostgres()).createDatabase(),
      poolMax: 1,
      timeoutMs: 20_000,
    });
    await migratePostgres(db);
  });
  afterAll(() => db.close());

  const columns =
    "ingested_at::text, event_ts::text, topic, tenant_id, site_id, device_id, msg_type, payload::text";
  async function written(write: Write, entries: Parameters<Write>[0]): Promise<unknown> {
    return db.transaction("writing", async (tx) => {
      await tx.unsafe("truncate raw_events, quarantine_events, quarantine_counters_minute");
      await send(tx, write(entries));
      return [
        ...(await tx.unsafe(`select accepted, ${columns} from raw_events order by id`)),
        ...(await tx.unsafe(`select reason, ${columns} from quarantine_events order by id`)),
        ...(await tx.unsafe("select * from quarantine_counters_minute order by 1, 2, 3")),
      ];
    });
  }

  test("by INSERT is as by COPY, and a trial takes it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1 }), async (made) => {
        const entries = made.map((each, i) => ({ ...each, seq: i + 1 }));
        expect(await written(writeByInsert, entries)).toEqual(await written(writeByCopy, entries));
        expect((await tryEach(db, entries)).passed).toEqual(entries);
      }),
    );
  });

  test("a reject that comes before the first event of its tenant is counted the same by both", async () => {
    const tenantId = `tenant-${crypto.randomUUID()}`;
    // The minute's rows for strangers are used up: a tenant without an accepted event would share the row for the rest.
    const receivedMs = Date.UTC(2030, 0, 1);
    const strangers = Array.from({ length: strangerRowsMax }, (_, i) =>
      reject(i + 1, { tenantId: `${tenantId}-${i}`, receivedMs }),
    );
    const batch = [
      ...strangers,
      reject(strangerRowsMax + 1, { tenantId, receivedMs }),
      event(strangerRowsMax + 2, { tenantId, receivedMs }),
    ];
    const byInsert = await written(writeByInsert, batch);
    expect(byInsert).toEqual(await written(writeByCopy, batch));
    expect(JSON.stringify(byInsert)).toContain(`"tenant_id":"${tenantId}","reason":"TOKEN_INVALID","cnt"`);
  });

  test("a trial leaves nothing behind", async () => {
    const before = await written(writeByCopy, [event(1), reject(2)]);
    await tryEach(db, [event(3), event(4, { payload: "{" }), reject(5)]);
    const rows = await db.query("counting", (sql) => sql`select count(*)::int as n from raw_events`);
    expect(rows[0]?.["n"]).toBe(1);
    expect(before).toHaveLength(3);
  });
});
