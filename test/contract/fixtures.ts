/**
 * The sinks that the contract suite runs over. A sink joins by one fixture in `fixtures`; what its far side cannot be
 * made to do (be away, hang, hold a poison entry) it leaves out, and those tests are skipped by name.
 */
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import type { Entry } from "../../src/core/entry.ts";
import { openPostgres } from "../../src/store/postgres/client.ts";
import { localSink } from "../../src/store/sqlite/tables.ts";
import { postgresSink } from "../../src/store/postgres/tables.ts";
import type { Sink } from "../../src/core/sink.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { startProxy } from "../kit/proxy.ts";
import { inInflux } from "./influx.ts";

export interface SinkFixture {
  readonly name: string;
  /** Why it cannot be tested here; "" where it can. */
  readonly unavailable: string;
  /** Sinks that store their position: exactly once, across restarts. */
  readonly positions: boolean;
  /** The far side can be made to go away and come back. */
  readonly outages: boolean;
  /** What makes an event one that the far side never takes. */
  readonly poison?: Partial<Entry>;
  open(): Promise<OpenSink>;
}

export interface OpenSink {
  readonly sink: Sink;
  /** Another sink on the same far side, as after a restart of the gateway. */
  reopen(): Promise<Sink>;
  /** The metric `n` of each stored event, as often as it is stored, in ascending order. */
  stored(): Promise<number[]>;
  /** refuse: connections are refused. hang: they are accepted and nothing is answered. pass: all is well again. */
  far?(mode: "refuse" | "hang" | "pass"): void;
  stop(): Promise<void>;
}

const local: SinkFixture = {
  name: "local",
  unavailable: "",
  positions: true,
  outages: false,
  // oxlint-disable-next-line typescript/require-await -- the interface is of those that must wait
  async open() {
    const dir = mkdtempSync(join(tmpdir(), "sluice-local-"));
    const path = join(dir, "local.db");
    const sinks = [localSink({ path, gatewayId: "gw" })];
    const reader = new Database(path, { readonly: true });
    return {
      sink: sinks[0] as Sink,
      async reopen() {
        const sink = localSink({ path, gatewayId: "gw" });
        sinks.push(sink);
        return sink;
      },
      async stored() {
        const rows = reader
          .query<{ payload: string }, []>("SELECT payload FROM raw_events WHERE accepted")
          .all();
        return rows.map((row) => JSON.parse(row.payload).metrics.n as number).sort((a, b) => a - b);
      },
      async stop() {
        reader.close();
        for (const sink of sinks) await sink.close();
        rmSync(dir, { recursive: true });
      },
    };
  },
};

const inPostgres: SinkFixture = {
  name: "postgres",
  unavailable: postgresAvailable(),
  positions: true,
  outages: true,
  poison: { payload: '{"metrics":{"n":1,"text":"\\u0000"}}' },
  async open() {
    const server = await sharedPostgres();
    const direct = await server.createDatabase();
    const proxy = await startProxy({ port: server.port });
    const url = direct.replace(`:${server.port}/`, `:${proxy.port}/`);
    const connect = () => openPostgres({ url, poolMax: 2, timeoutMs: 2000 });
    const clients = [connect()];
    const reader = postgres(direct, { max: 1, fetch_types: false });
    const open = (db = clients[0]) => postgresSink({ db: db ?? connect(), gatewayId: "gw" });
    return {
      sink: open(),
      async reopen() {
        const db = connect();
        clients.push(db);
        return open(db);
      },
      async stored() {
        const rows = await reader<{ n: number }[]>`
          select (payload -> 'metrics' ->> 'n')::int as n from raw_events where accepted order by n`;
        return rows.map((row) => row.n);
      },
      far: (mode) => proxy.mode(mode === "hang" ? "blackhole" : mode),
      async stop() {
        await proxy.stop();
        for (const db of clients) await db.close();
        await reader.end({ timeout: 5 });
      },
    };
  },
};

export const fixtures: readonly SinkFixture[] = [local, inPostgres, inInflux];
