/** A database that loses what it had confirmed, while the gateway goes on running. */
import { afterEach, expect, test } from "bun:test";
import postgres from "postgres";
import { endLater, fleet, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

const absent = postgresAvailable();
afterEach(stopAll);

test.skipIf(absent !== "")(
  `a database restored from a backup gets again what the spool still has, without a restart of the gateway${absent && ` (${absent})`}`,
  async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const sql = postgres(url, { max: 1, fetch_types: false });
    endLater(() => sql.end({ timeout: 5 }));
    const [id = ""] = fleet(1);
    const { gateway, source, stats } = await startInProcess({ DATABASE_URL: url });
    await gateway.view.devices.add(registered([id]));
    const delivered = () => stats().sinks["postgres"]?.delivered;

    source.give(...Array.from({ length: 10 }, (_, i) => telemetry(id, i)));
    await until(() => delivered() === 10);
    await sql.begin(async (tx) => {
      await tx`update sluice_position set seq = 5, delivered = 5`;
      await tx`delete from raw_events where (payload ->> 'seq')::int >= 5`;
    });
    source.give(telemetry(id, 10));
    await until(() => delivered() === 11);

    const rows = await sql<
      { seq: number }[]
    >`select (payload ->> 'seq')::int as seq from raw_events order by seq`;
    expect(rows.map((row) => row.seq)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(stats().balanced).toBe(true);
  },
);
