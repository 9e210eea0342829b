/** The books of a whole gateway: true after a restart, and visibly false if any counter is. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { localRegistry } from "../kit/stores.ts";
import { aBody, aMessage } from "../kit/builders.ts";
import {
  endLater,
  fleet,
  registered,
  scratch,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

afterEach(stopAll);

const hourMs = 3_600_000;

/** A data directory with the books of a gateway that accepted, rejected and recognised, and was stopped. */
async function usedSite(): Promise<string> {
  const dataDir = scratch();
  const registry = localRegistry({ path: join(dataDir, "local.db") });
  await registry.add(registered(fleet(2)));
  await registry.close();
  const { gateway, source, acknowledged, stats } = await startInProcess({ DATA_DIR: dataDir });
  const [first = "", second = ""] = fleet(2);
  const again = telemetry(first, 3);
  source.give(telemetry(first, 1), telemetry(second, 2, { provision_token: "tok-wrong" }), again, {
    ...again,
    dup: true,
  });
  await acknowledged();
  await until(() => stats().sinks["local"]?.waiting === 0);
  await gateway.stop();
  return dataDir;
}

function alter(dataDir: string, sql: string): void {
  const db = new Database(join(dataDir, "spool.db"));
  expect(db.run(sql).changes).toBe(1);
  db.close();
}

describe("the books", () => {
  test("are kept across a restart, and distinguish counts since the first start from counts since this start", async () => {
    const dataDir = await usedSite();
    const { stats } = await startInProcess({ DATA_DIR: dataDir });
    const { balanced, ingest, sinks } = stats();
    expect(balanced).toBe(true);
    expect(ingest).toMatchObject({
      received: 4,
      accepted: 2,
      rejected: { TOKEN_INVALID: 1 },
      duplicate: 1,
      judging: 0,
    });
    expect(ingest["since_start"]).toEqual({ received: 0, accepted: 0, rejected: {}, duplicate: 0 });
    expect(sinks["local"]).toMatchObject({ delivered: 3, ignored: 0, refused: 0, skipped: 0, waiting: 0 });
  });

  test("tell of a message as accepted or rejected in the turn in which it is on the disk, as the list of rejects does", async () => {
    const { gateway, source, acknowledged, stats } = await startInProcess();
    await gateway.view.devices.add(registered(["d"]));
    source.give(telemetry("d", 1));
    await acknowledged();
    const told = () => {
      const { balanced, ingest, spool } = stats();
      const { received, accepted, rejected, judging } = ingest;
      const listed = gateway.view.rejects.list({ limit: 10 }).map(({ reason, count }) => [reason, count]);
      return { balanced, received, accepted, rejected, judging, listed, head: spool["last_seq"] };
    };
    source.give(telemetry("d", 2), telemetry("d", 3, { provision_token: "tok-wrong" }));
    const before = { accepted: 1, rejected: {}, judging: 2, listed: [], head: 1 };
    expect(told()).toEqual({ balanced: true, received: 3, ...before });
    expect(stats().ingest["since_start"]).toMatchObject({ received: 3, accepted: 1, rejected: {} });
    await acknowledged();
    const after = { accepted: 2, rejected: { TOKEN_INVALID: 1 }, judging: 0, listed: [["TOKEN_INVALID", 1]] };
    expect(told()).toEqual({ balanced: true, received: 3, ...after, head: 3 });
  });

  test("tell the age of the oldest entry that waits, also where a tenant's database is away and the others go on", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch({ url }) {
        const headers = { "x-influxdb-version": "1.8.10" };
        const isMissing = url.includes("db=telemetry_sick");
        return isMissing
          ? Response.json({ error: 'database not found: "telemetry_sick"' }, { status: 404, headers })
          : new Response(null, { status: 204, headers });
      },
    });
    endLater(() => server.stop(true));
    const env = { INFLUXDB_URL: server.url.href, INFLUX_FLUSH_INTERVAL_MS: "10", REQUIRE_TOKEN: "0" };
    const { gateway, source, acknowledged, stats } = await startInProcess(env);
    const influx = () => stats().sinks["influx"];
    await gateway.view.devices.add(registered(["d"]));
    await gateway.view.devices.add([{ tenantId: "sick", deviceId: "d", siteId: "lab-1" }]);
    const topic = "tenant/sick/device/d/telemetry";
    source.give(
      aMessage(aBody({ tenant_id: "sick", device_id: "d" }), { topic, receivedMs: Date.now() - hourMs }),
    );
    await acknowledged();
    await until(() => influx()?.["trouble"] !== null);
    source.give(telemetry("d", 1), telemetry("d", 2));
    await acknowledged();
    await until(() => influx()?.waiting === 1);
    expect(influx()?.["oldest_age_seconds"]).toBeGreaterThanOrEqual(3_600);
    expect(stats().spool.oldest_age_seconds).toBeGreaterThanOrEqual(3_600);
    expect(stats().attention.text).toBe("Sink influx stands still for telemetry_sick until somebody acts");
  });

  test.each(["received", "accepted", "duplicate", "rejected:TOKEN_INVALID"])(
    "do not balance when the counter %s is off by one",
    async (name) => {
      const dataDir = await usedSite();
      alter(dataDir, `UPDATE books SET value = value + 1 WHERE name = '${name}'`);
      const { stats } = await startInProcess({ DATA_DIR: dataDir });
      expect(stats().balanced).toBe(false);
    },
  );

  test.each(["deferred", "replayed"])("do not balance when the counter %s is off by one", async (name) => {
    const dataDir = await usedSite();
    alter(dataDir, `INSERT OR REPLACE INTO books (name, value) VALUES ('${name}', 1)`);
    const { stats } = await startInProcess({ DATA_DIR: dataDir });
    expect(stats().balanced).toBe(false);
  });

  test.each(["delivered", "ignored", "refused", "skipped"])(
    "do not balance when the sink's own count of %s is off by one",
    async (name) => {
      const dataDir = await usedSite();
      const db = new Database(join(dataDir, "local.db"));
      expect(db.run(`UPDATE sluice_position SET ${name} = ${name} + 1`).changes).toBe(1);
      db.close();
      const { stats } = await startInProcess({ DATA_DIR: dataDir });
      await until(() => !stats().balanced);
      expect(stats().balanced).toBe(false);
    },
  );
});
