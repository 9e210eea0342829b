/** What a site has stored: in PostgreSQL, or in the local store of a gateway that has none. */
import { Database } from "bun:sqlite";
import postgres from "postgres";
import type { StoredRow } from "../kit/oracle.ts";

export interface Tables {
  /** All of raw_events and quarantine_events. `aside`: more tables like raw_events. */
  rows(aside: readonly string[]): Promise<StoredRow[]>;
  /** The sum of quarantine_counters_minute. */
  rejectsCounted(): Promise<number>;
  run(statements: Iterable<string>): Promise<void>;
}

const counted = "select coalesce(sum(cnt), 0) as cnt from quarantine_counters_minute";

function selectAll(aside: readonly string[]): string {
  const events = ["raw_events", ...aside].map((table) => `select null as reason, payload from ${table}`);
  return [...events, "select reason, payload from quarantine_events"].join(" union all ");
}

/** As the superuser, on a connection of its own. */
export async function ask<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice() {} });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

export function postgresTables(url: string): Tables {
  return {
    rows: (aside) => ask(url, async (sql) => [...(await sql.unsafe<StoredRow[]>(selectAll(aside)))]),
    rejectsCounted: () =>
      ask(url, async (sql) => Number((await sql.unsafe<{ cnt: string }[]>(counted))[0]?.cnt)),
    run: (statements) =>
      ask(url, async (sql) => {
        for (const statement of statements) await sql.unsafe(statement);
      }),
  };
}

/** @param path of local.db, which `sluice migrate` has made */
export function localTables(path: () => string): Tables {
  async function read<Row>(query: string): Promise<Row[]> {
    const db = new Database(path(), { readwrite: true });
    try {
      return db.query<Row, []>(query).all();
    } finally {
      db.close();
    }
  }
  return {
    async rows(aside) {
      const rows = await read<{ reason: string | null; payload: string }>(selectAll(aside));
      return rows.map(({ reason, payload }) => ({
        reason,
        payload: JSON.parse(payload) as StoredRow["payload"],
      }));
    },
    rejectsCounted: async () => (await read<{ cnt: number }>(counted))[0]?.cnt ?? 0,
    async run(statements) {
      const db = new Database(path(), { readwrite: true });
      for (const statement of statements) db.run(statement);
      db.close();
    },
  };
}
