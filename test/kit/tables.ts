/** A database with the tables, a spool and a drain to it, as a role that owns nothing. */
import postgres from "postgres";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { silentLog, type Log } from "../../src/core/log/log.ts";
import { openPostgres, type Postgres } from "../../src/store/postgres/postgres-client.ts";
import { migratePostgres } from "../../src/store/postgres/migrate.ts";
import { Drain } from "../../src/drain/drain.ts";
import { postgresSink } from "./stores.ts";
import type { DeadLetter } from "../../src/spool/dead-letters.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { sharedPostgres } from "./postgres.ts";
import { startProxy, type Proxy } from "./proxy.ts";
import { emptyRecord, spoolKit } from "./spool.ts";
import { until } from "./until.ts";

export interface OpenTables {
  readonly drain: Drain;
  /** Between the sink and the server. */
  readonly proxy: Proxy;
  readonly spool: Spool;
  /** As the superuser. */
  run(statements: readonly string[]): Promise<void>;
  read(query: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  put(entries: readonly Entry[]): void;
  letters(): DeadLetter[];
  /** How many rows are in raw_events. */
  stored(): Promise<number>;
  /** Transactions of the sink so far. */
  transactions(): number;
  /** Waits until nothing waits. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export interface TableOptions {
  /** The encoding, as in CREATE DATABASE: UTF8, LATIN1, SQL_ASCII. */
  readonly encoding?: string;
  readonly timeoutMs?: number;
  /** Each piece between the sink and the server is delayed by this. */
  readonly delayMs?: number;
  readonly log?: Log;
  /** How far the sink's clock is ahead. */
  readonly aheadMs?: () => number;
}

const grants = [
  "grant select, insert, update, delete on device_registry, app_settings, quarantine_counters_minute, sluice_position to sluice",
  "grant select, insert on raw_events to sluice",
  "grant select, insert, delete on quarantine_events to sluice",
  "grant usage on sequence raw_events_id_seq, quarantine_events_id_seq to sluice",
];

export async function openTables(options: TableOptions = {}): Promise<OpenTables> {
  const { encoding = "UTF8", timeoutMs = 20_000, delayMs = 0, log = silentLog, aheadMs = () => 0 } = options;
  const server = await sharedPostgres();
  const url = await server.createDatabase(encoding);
  const admin = postgres(url, { max: 1, fetch_types: false, onnotice() {} });
  const owner = openPostgres({ url, poolMax: 2, timeoutMs: 10_000 });
  await migratePostgres(owner);
  await owner.close();
  const run = async (statements: readonly string[]) => {
    for (const statement of statements) await admin.unsafe(statement);
  };
  await admin.unsafe("create role sluice login").catch(() => {});
  await run(grants);
  const proxy = await startProxy({ port: server.port });
  proxy.delay(delayMs);
  const through = url.replace("postgres@", "sluice@").replace(`:${server.port}/`, `:${proxy.port}/`);
  const clock: Clock = { ...systemClock, monoMs: () => systemClock.monoMs() + aheadMs() };
  const { db, transactions } = counted(openPostgres({ url: through, poolMax: 2, timeoutMs, clock }));
  const kit = spoolKit();
  const spool = kit.spool({ clock: systemClock });
  const sink = postgresSink(db);
  const drain = new Drain({ sink, spool, clock: systemClock, log, random: () => 0 });
  return {
    drain,
    proxy,
    spool,
    run,
    read: (query) => admin.unsafe(query),
    put: (entries) => spool.append(entries, emptyRecord),
    letters: () => spool.deadLetters.list({ limit: 10_000 }),
    async stored() {
      const [row] = await admin<{ n: number }[]>`select count(*)::int as n from raw_events`;
      return row?.n ?? 0;
    },
    transactions,
    settled: async () => void (await until(() => drain.stats().waiting === 0, 50_000)),
    async close() {
      await drain.stop(0);
      await db.close();
      await proxy.stop();
      await admin.end({ timeout: 5 });
      kit.clear();
    },
  };
}

function counted(db: Postgres): { db: Postgres; transactions: () => number } {
  let count = 0;
  const transaction: Postgres["transaction"] = (...asked) => {
    count++;
    return db.transaction(...asked);
  };
  return { db: { ...db, transaction }, transactions: () => count };
}
