/** What a PostgreSQL server does to its clients: a whole gateway survives it without a restart of its own. */
import { afterEach, describe, expect, test } from "bun:test";
import postgres from "postgres";
import {
  endLater,
  fleet,
  type InProcess,
  registered,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";
import { postgresAvailable, startPostgres } from "../kit/postgres.ts";
import { startProxy } from "../kit/proxy.ts";
import { until } from "../kit/until.ts";

const absent = postgresAvailable();
const ids = fleet(50);

describe.skipIf(absent !== "")(`faults of PostgreSQL${absent && ` (${absent})`}`, () => {
  afterEach(stopAll);

  async function site() {
    const server = await startPostgres();
    endLater(() => server.stop());
    const proxy = await startProxy({ port: server.port });
    endLater(() => proxy.stop());
    const url = await server.createDatabase();
    const env = {
      DATABASE_URL: url.replace(`:${server.port}/`, `:${proxy.port}/`),
      // So that rows are read again all the time, and a server that hangs soon counts as away.
      AUTH_CACHE_TTL_SECONDS: "1",
      PG_TIMEOUT_MS: "3000",
    };
    const running = await startInProcess(env);
    await running.gateway.view.devices.add(registered([...ids, "late"]));
    return {
      server,
      proxy,
      running,
      sql: () => postgres(url, { max: 1, fetch_types: false, onnotice: () => {} }),
    };
  }

  let seq = 0;
  async function speak({ source, acknowledged }: InProcess, devices: readonly string[] = ids): Promise<void> {
    seq++;
    source.give(...devices.map((id) => telemetry(id, seq)));
    await acknowledged();
  }

  /** Known devices go on throughout; a device never heard of is judged, and a change noticed, once it is over. */
  async function survives(
    { running, sql }: Awaited<ReturnType<typeof site>>,
    fault: () => unknown,
    fix: () => unknown,
  ): Promise<void> {
    await speak(running);
    await fault();
    let rounds = 1;
    for (const end = performance.now() + 3_000; performance.now() < end; rounds++) {
      await speak(running);
      await Bun.sleep(100);
    }
    await speak(running, ["late"]);
    await fix();
    await until(() => running.stats().ingest.accepted === ids.length * rounds + 1);
    expect(running.stats().ingest).toMatchObject({ rejected: {}, judging: 0 });
    await until(
      () =>
        running.stats()["registry"] !== undefined &&
        (running.stats()["registry"] as { available: boolean }).available,
    );
    const client = sql();
    endLater(() => client.end({ timeout: 5 }));
    await client`update device_registry set status = 'REVOKED' where device_id = ${ids[0] ?? ""}`;
    await until(async () => {
      await speak(running, ids.slice(0, 1));
      return (running.rejected()["DEVICE_REVOKED"] ?? 0) > 0;
    });
    await until(() => Object.values(running.stats().sinks).every(({ waiting }) => waiting === 0));
    expect(running.stats().balanced).toBe(true);
  }

  test("a server that restarts: its connections and what was prepared on them are gone", async () => {
    const it = await site();
    await survives(
      it,
      () => it.server.kill9(),
      () => it.server.start(),
    );
  });

  test("a connection that is cut under load, again and again", async () => {
    const it = await site();
    const cutting = setInterval(() => it.proxy.cut(), 50);
    endLater(() => clearInterval(cutting));
    await survives(
      it,
      () => {},
      () => clearInterval(cutting),
    );
  });

  test("a server that accepts and never answers", async () => {
    const it = await site();
    await survives(
      it,
      () => it.proxy.mode("blackhole"),
      () => {
        it.proxy.cut();
        it.proxy.mode("pass");
      },
    );
  });
});
