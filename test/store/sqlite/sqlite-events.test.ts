/** raw_events of the local store as it is read back. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSqliteEvents } from "../../../src/store/sqlite/sqlite-events.ts";
import { openLocalFile } from "../../../src/store/sqlite/local-file.ts";
import { simulatedClock } from "../../kit/clock.ts";

test("with the index of the look-up each of its queries reads through that: a silent device had all events of the day read", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-events-"));
  const { db } = openLocalFile(join(dir, "local.db"));
  try {
    const events = createSqliteEvents(db, simulatedClock());
    await events.createIndex();
    const asked: string[] = [];
    const query = db.query.bind(db);
    db.query = (sql: string) => {
      asked.push(sql);
      return query(sql);
    };
    const indexed = await events.indexed();
    await indexed?.newestOf([{ tenantId: "acme", deviceId: "d1" }], 0, 10);
    await indexed?.lastSeen({ tenantId: undefined, sinceMs: 0, after: undefined, limit: 10 });
    expect(asked).toHaveLength(2);
    for (const sql of asked) {
      const plan = query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`).all();
      const reads = plan
        .map(({ detail }) => detail)
        .filter((detail) => /^(SCAN|SEARCH) (raw_events|r)\b/.test(detail));
      expect(reads.length).toBeGreaterThan(0);
      for (const read of reads) expect(read).toContain("INDEX raw_events_device_ingested_idx ");
    }
  } finally {
    db.close();
    rmSync(dir, { recursive: true });
  }
});

test("between two look-ups all else has its turn, and who waited long for others is refused", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-events-"));
  const { db } = openLocalFile(join(dir, "local.db"));
  try {
    const clock = simulatedClock();
    const events = createSqliteEvents(db, clock);
    await events.createIndex();
    const indexed = await events.indexed();
    const query = { tenantId: undefined, sinceMs: 0, after: undefined, limit: 10 };
    const order: string[] = [];
    const reads = Array.from({ length: 3 }, async () => {
      await indexed?.lastSeen(query);
      order.push("read");
    });
    const turn = () => {
      order.push("turn");
      if (order.length < 20) setImmediate(turn);
    };
    setImmediate(turn);
    await Promise.all(reads);
    expect(order.join(" ")).not.toContain("read read");
    const late = Array.from({ length: 3 }, () => indexed?.newestOf([], 0, 10));
    const ends = Promise.allSettled(late);
    clock.advance(5_001);
    expect((await ends).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    await expect(late[1]).rejects.toThrow("others ask for much");
  } finally {
    db.close();
    rmSync(dir, { recursive: true });
  }
});
