/** The tables in a PostgreSQL behind a proxy that misbehaves on demand, in the contract suite. */
import postgres from "postgres";
import { openPostgres } from "../../../src/store/postgres/postgres-client.ts";
import { postgresSink } from "../../kit/stores.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";
import { startProxy } from "../../kit/proxy.ts";
import type { SinkFixture } from "../fixtures.ts";

export const fixture: SinkFixture = {
  name: "postgres",
  unavailable: postgresAvailable(),
  positions: true,
  outages: true,
  poison: { payload: '{"metrics":{"n":1,"text":"\\u0000"}}' },
  async open(timeoutMs) {
    const server = await sharedPostgres();
    const direct = await server.createDatabase();
    const proxy = await startProxy({ port: server.port });
    const url = direct.replace(`:${server.port}/`, `:${proxy.port}/`);
    const connect = () => openPostgres({ url, poolMax: 2, timeoutMs });
    const clients = [connect()];
    const reader = postgres(direct, { max: 1, fetch_types: false });
    const open = (db = clients[0]) => postgresSink(db ?? connect());
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
