/**
 * The local store within bounds: rows are removed by age and for space, and another process that writes stops nothing
 * else.
 */
import type { Database } from "bun:sqlite";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { openLocalFile } from "../../../src/store/sqlite/local-file.ts";
import { createRetention } from "../../../src/store/sqlite/retention.ts";
import { simulatedClock } from "../../kit/clock.ts";
import { recordingLog } from "../../kit/source.ts";
import { executable, sluice, startGateway, statsWhen } from "../../kit/gateway.ts";
import { until } from "../../kit/until.ts";

let dir: string;
let path: string;
let db: Database;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sluice-retention-"));
  path = join(dir, "local.db");
  ({ db } = openLocalFile(path));
});

afterEach(() => {
  db.close();
  rmSync(dir, { recursive: true });
});

const dayMs = 86_400_000;
/** Until then what comes in is all that makes rows go for want of room. */
const patienceMs = 300_000;

function fill(table: "raw_events" | "quarantine_events", rows: number, atMs: number, payload = "{}"): void {
  const at = new Date(atMs).toISOString().replace("Z", "000Z");
  const reason = table === "raw_events" ? "" : "reason, ";
  const insert = db.query(
    `INSERT INTO ${table} (ingested_at, topic, ${reason}payload) VALUES (?, 't', ${reason && "'R', "}?)`,
  );
  db.transaction(() => {
    for (let i = 0; i < rows; i++) insert.run(at, payload);
  })();
}

const rowsOf = (table: string) => db.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n;

function retention(days: number, clock = simulatedClock(), freeBytesMin = 0, ageNowMs = clock.wallMs) {
  const bounds = { retentionDays: days, freeBytesMin, ageNowMs };
  const { log, lines } = recordingLog();
  return { clock, lines, kept: createRetention({ db, path, bounds, clock, log }) };
}

describe("the local store", () => {
  test("removes rows at their age limit, in every table, some at a time", () => {
    const clock = simulatedClock();
    const now = clock.wallMs();
    for (const table of ["raw_events", "quarantine_events"] as const) {
      fill(table, 5_000, now - 3 * dayMs);
      fill(table, 100, now - dayMs / 2);
    }
    db.run("INSERT INTO quarantine_counters_minute VALUES ('2001-01-01T00:00:00.000000Z', 'a', 'R', 1)");
    const { kept } = retention(1, clock);
    clock.advance(dayMs / 2);
    clock.advance(250);
    const [raw, quarantined] = [rowsOf("raw_events"), rowsOf("quarantine_events")];
    expect([raw, quarantined]).toEqual([100, 100]);
    expect(rowsOf("quarantine_counters_minute")).toBe(0);
    expect(kept.stats()).toEqual({ rows_expired: 10_000, rows_removed_for_room: 0 });
    kept.close();
  });

  test("keeps its rows although the newest is of a clock years ahead, by the age that the spool has kept", () => {
    const clock = simulatedClock();
    const reachedMs = clock.wallMs();
    fill("raw_events", 100, clock.wallMs());
    clock.stepWall(800 * dayMs);
    fill("raw_events", 1, clock.wallMs());
    const { kept } = retention(365, clock, 0, () => reachedMs);
    clock.advance(60_000);
    expect(rowsOf("raw_events")).toBe(101);
    kept.close();
  });

  test("keeps its rows when the wall clock steps forward by years", () => {
    const clock = simulatedClock();
    fill("raw_events", 100, clock.wallMs());
    const { kept } = retention(365, clock);
    clock.stepWall(100 * 365 * dayMs);
    clock.advance(60_000);
    expect(rowsOf("raw_events")).toBe(100);
    kept.close();
  });

  test.each([1_001, 1_900, 11_000, 11_900])(
    "of %d rows removes the oldest, and not the newest thousand, if the disk is nearly full",
    (rows) => {
      fill("raw_events", rows, simulatedClock().wallMs());
      const { clock, kept } = retention(0, simulatedClock(), Number.MAX_SAFE_INTEGER / 2);
      clock.advance(patienceMs + 10_000);
      expect(rowsOf("raw_events")).toBe(1_000);
      expect(db.query<{ id: number }, []>("SELECT min(id) AS id FROM raw_events").get()?.id).toBe(rows - 999);
      kept.close();
    },
  );

  test("reads none of its tables or indexes as a whole to remove rows: with millions that takes longer than until the next time", () => {
    fill("raw_events", 3_000, simulatedClock().wallMs());
    const asked = new Set<string>();
    const query = db.query.bind(db);
    db.query = (sql: string) => {
      asked.add(sql);
      return query(sql);
    };
    const { clock, kept } = retention(1, simulatedClock(), Number.MAX_SAFE_INTEGER / 2);
    clock.advance(patienceMs + 10_000);
    kept.close();
    expect(query<{ n: number }, []>("SELECT count(*) AS n FROM raw_events").get()?.n).toBe(1_000);
    const plans = [...asked].map((sql) => query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`).all());
    // Without "USING" it is in the order of its ids, of which a query takes the first.
    expect(plans.flat().filter(({ detail }) => /^SCAN (raw|quarantine)_\w+ USING/.test(detail))).toEqual([]);
  });

  test("loses only twice what comes in to a disk that something else has filled for some minutes", () => {
    fill("raw_events", 20_000, simulatedClock().wallMs());
    const { clock, kept } = retention(0, simulatedClock(), Number.MAX_SAFE_INTEGER / 2);
    clock.advance(60_000);
    expect(rowsOf("raw_events")).toBe(20_000);
    for (const table of ["raw_events", "quarantine_events"] as const) fill(table, 50, clock.wallMs());
    clock.advance(60_000);
    expect(rowsOf("raw_events")).toBe(20_050 - 200);
    kept.close();
  });

  test.each([
    [1_000, 0],
    [5_000, 1],
  ])("of %d rows says %d times that the oldest go", (rows, times) => {
    fill("raw_events", rows, simulatedClock().wallMs());
    const { clock, lines, kept } = retention(0, simulatedClock(), Number.MAX_SAFE_INTEGER / 2);
    clock.advance(patienceMs + 10_000);
    expect(lines).toHaveLength(times);
    kept.close();
  });

  test("with large rows removes no more before the room of those that went is given back", () => {
    fill("raw_events", 7_000, simulatedClock().wallMs(), "x".repeat(8_000));
    const { clock, kept } = retention(0, simulatedClock(), Number.MAX_SAFE_INTEGER / 2);
    clock.advance(250 + patienceMs);
    expect(rowsOf("raw_events")).toBe(5_000);
    const pages = () =>
      db.query<{ freelist_count: number }, []>("PRAGMA freelist_count").get()?.freelist_count ?? 0;
    while (pages() > 1_000) {
      clock.advance(250);
      expect(rowsOf("raw_events")).toBe(5_000);
    }
    clock.advance(250);
    expect(rowsOf("raw_events")).toBe(3_000);
    kept.close();
  });

  test.each([
    ["nothing is old and there is room", 0, 0, 1_000],
    ["rows are old", 5_000, 0, 250],
    ["the disk may soon be full", 0, Number.MAX_SAFE_INTEGER / 2, 250],
  ])("while %s is looked at again in due time", (_, rows, freeBytesMin, lookAgainMs) => {
    const clock = simulatedClock();
    fill("raw_events", rows, clock.wallMs() - 3 * dayMs);
    fill("raw_events", 1, clock.wallMs());
    const waits: number[] = [];
    const heard = {
      ...clock,
      after: (ms: number, run: () => void) => (waits.push(ms), clock.after(ms, run)),
    };
    const { kept } = retention(1, heard, freeBytesMin);
    clock.advance(250);
    expect(waits).toEqual([250, lookAgainMs]);
    kept.close();
    expect(clock.pending()).toBe(0);
  });

  test.skipIf(!existsSync(executable))(
    "that another process has locked waits, and neither health nor the spool does",
    async () => {
      const gateway = await startGateway({ BROKER_LISTEN: "127.0.0.1:0" }, dir);
      try {
        db.run("BEGIN IMMEDIATE");
        const adding = fetch(`${gateway.url}/admin/devices`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ tenant_id: "acme", device_id: "d", site_id: "s" }),
        });
        await Bun.sleep(100);
        for (let i = 0; i < 20; i++) expect((await fetch(`${gateway.url}/healthz`)).ok).toBe(true);
        db.run("COMMIT");
        // SQLite's own wait stopped the whole process and ended with an error.
        expect((await adding).status).toBe(201);
        await until(() => db.query("SELECT 1 FROM device_registry").get() !== null);
      } finally {
        await gateway.kill9();
      }
    },
  );

  const disk = join(tmpdir(), `sluice-retention-disk-${process.pid}`);
  const mounted = existsSync(executable) ? mount(disk) : "dist/sluice is missing: bun run build";
  afterAll(() => unmount(disk));

  test.skipIf(mounted !== "")(
    `has no patience with a disk that is all but full, nor with one that is short again at once ${mounted}`,
    () => {
      const there = join(disk, "short.db");
      const store = openLocalFile(there).db;
      const insert = store.query(
        "INSERT INTO raw_events (ingested_at, topic, payload) VALUES (?, 't', '{}')",
      );
      store.transaction(() => {
        for (let i = 0; i < 60_000; i++) insert.run("2001-01-01T00:00:00.000000Z");
      })();
      const count = () => store.query<{ n: number }, []>("SELECT count(*) AS n FROM raw_events").get()?.n;
      const ballast = (mebibytes: number) =>
        writeFileSync(join(disk, "short-ballast"), Buffer.alloc(mebibytes * 1_048_576));
      const clock = simulatedClock();
      const bounds = { retentionDays: 0, freeBytesMin: 64 * 1_048_576, ageNowMs: clock.wallMs };
      const kept = createRetention({ db: store, path: there, bounds, clock, log: recordingLog().log });
      try {
        ballast(75);
        clock.advance(60_000);
        expect(count()).toBe(60_000);
        ballast(130);
        clock.advance(1_000);
        const left = count() ?? 0;
        expect(left).toBeLessThan(60_000);
        ballast(10);
        clock.advance(10_000);
        expect(count()).toBe(left);
        ballast(75);
        clock.advance(1_000);
        expect(count()).toBeLessThan(left);
      } finally {
        kept.close();
        store.close();
        for (const suffix of ["short.db", "short.db-wal", "short.db-shm", "short-ballast"])
          rmSync(join(disk, suffix), { force: true });
      }
    },
  );

  test.skipIf(mounted !== "")(
    `that fills its disk gives up its oldest rows, and the intake goes on${mounted && ` (${mounted})`}`,
    async () => {
      // Room for a quarter of what comes, above the floor that the spool keeps by default and the margin above it.
      const ballast = 160 - 64 - 32 - 8;
      writeFileSync(join(disk, "ballast"), Buffer.alloc(ballast * 1_048_576));
      const data = join(disk, "data");
      const env = { DATA_DIR: data, REQUIRE_TOKEN: "0", BROKER_LISTEN: "127.0.0.1:0" };
      expect((await sluice(env, "devices", "add", "acme", "d", "--site", "s")).code).toBe(0);
      const gateway = await startGateway(env, data);
      try {
        const port = /"broker":\{[^}]*"port":(\d+)/.exec(gateway.log())?.[1] ?? "";
        const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
        const payload = JSON.stringify({ site_id: "s", metrics: { n: 1 }, pad: "x".repeat(7_000) });
        for (let i = 0; i < 50; i++) {
          const batch = Array.from({ length: 100 }, () =>
            client.publishAsync("tenant/acme/device/d/telemetry", payload, { qos: 1 }),
          );
          await Promise.all(batch);
        }
        await client.endAsync();
        const { ingest } = await gateway.stats();
        expect([ingest.accepted, ingest["held"]]).toEqual([5_000, null]);
        const { sinks } = await statsWhen(
          gateway,
          (stats) =>
            stats.sinks["local"]?.waiting === 0 &&
            (stats["local_store"] as { rows_removed_for_room: number }).rows_removed_for_room > 0,
        );
        expect(sinks["local"]?.refused).toBe(0);
      } finally {
        await gateway.kill9();
      }
    },
  );
});

/** A file system of 160 MB. @returns why there is none, "" if there is */
function mount(disk: string): string {
  mkdirSync(disk, { recursive: true });
  const done = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", disk]);
  return done.success ? "" : `no small file system can be mounted here: ${done.stderr.toString().trim()}`;
}

function unmount(disk: string): void {
  Bun.spawnSync(["umount", "-l", disk]);
  rmSync(disk, { recursive: true, force: true });
}
