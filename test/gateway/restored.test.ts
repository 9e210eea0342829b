/** A database that loses what it had confirmed, or has more than it was given, while the gateway goes on running. */
import { afterEach, expect, test } from "bun:test";
import postgres from "postgres";
import { endLater, fleet, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

const absent = postgresAvailable();
afterEach(stopAll);

/** A gateway on a PostgreSQL in which the first ten messages of its device are stored. */
async function tenStored() {
  const url = await (await sharedPostgres()).createDatabase();
  const sql = postgres(url, { max: 1, fetch_types: false });
  endLater(() => sql.end({ timeout: 5 }));
  const [id = ""] = fleet(1);
  const { gateway, source, stats } = await startInProcess({ DATABASE_URL: url });
  await gateway.view.devices.add(registered([id]));
  const give = (from: number, to: number) =>
    source.give(...Array.from({ length: to - from + 1 }, (_, i) => telemetry(id, from + i)));
  const delivered = (n: number) => until(() => stats().sinks["postgres"]?.delivered === n);
  const stored = async () => {
    const rows = await sql<
      { seq: number }[]
    >`select (payload ->> 'seq')::int as seq from raw_events order by seq`;
    return rows.map(({ seq }) => seq);
  };
  give(0, 9);
  await delivered(10);
  return { sql, give, delivered, stored, stats };
}

const upTo = (last: number) => Array.from({ length: last + 1 }, (_, i) => i);

test.skipIf(absent !== "")(
  `a database restored from a backup gets again what the spool still has, without a restart of the gateway${absent && ` (${absent})`}`,
  async () => {
    const { sql, give, delivered, stored, stats } = await tenStored();
    await sql.begin(async (tx) => {
      await tx`update sluice_position set seq = 5, delivered = 5`;
      await tx`delete from raw_events where (payload ->> 'seq')::int >= 5`;
    });
    give(10, 10);
    await delivered(11);
    expect(await stored()).toEqual(upTo(10));
    expect(stats().balanced).toBe(true);
  },
);

/** By how many messages the position has moved; by as many as come then it looks as after a lost answer. If connections are gone besides, nothing tells. */
for (const others of [1, 3, 40])
  for (const cut of others === 3 ? [false] : [false, true])
    test.skipIf(absent !== "")(
      `a gateway put back to a snapshot of its memory stores what it gets from then on: ${others} by then from the one before${cut ? ", connections are gone" : ""}${absent && ` (${absent})`}`,
      async () => {
        const { sql, give, delivered, stored, stats } = await tenStored();
        await sql`update sluice_position set seq = seq + ${others}, delivered = delivered + ${others}`;
        if (cut)
          await sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()`;
        give(10, 12);
        await delivered(13);
        give(13, 20);
        await delivered(21);
        expect(await stored()).toEqual(upTo(20));
        expect(stats().balanced).toBe(true);
      },
    );
