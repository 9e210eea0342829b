/** What is said of messages that wait for a sink while others, which are not for it, go on. */
import { afterEach, expect, test } from "bun:test";
import { registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { aMessage } from "../kit/builders.ts";
import { until } from "../kit/until.ts";

afterEach(stopAll);

test("a sink that is away is not said to have what waits for it, nor the age of what came last to be that of the oldest", async () => {
  const { gateway, source, stats, acknowledged } = await startInProcess({
    INFLUXDB_URL: "http://127.0.0.1:1",
    INFLUXDB_API: "v2",
    INFLUXDB_ORG: "works",
    INFLUXDB_TOKEN: "any",
  });
  await gateway.view.devices.add(registered(["d1"]));
  const passed: string[] = [];
  gateway.view.follow(
    { tenantId: "acme", deviceId: "d1" },
    {
      entries() {},
      notShown() {},
      passed: (some) => passed.push(...some.map((it) => `${it.sink} ${it.seq}`)),
    },
  );
  const hourAgoMs = Date.now() - 3_600_000;
  source.give(telemetry("d1", 1, {}, hourAgoMs));
  await acknowledged();
  await until(() => stats().sinks["influx"]?.["trouble"] !== null);
  // Status is not for InfluxDB.
  const topic = "tenant/acme/device/d1/status";
  const body = { site_id: "lab-1", provision_token: "tok-d1", state: "up" };
  for (let i = 2; i < 5; i++) source.give(aMessage(body, { topic, packetId: i, receivedMs: Date.now() }));
  await acknowledged();
  await until(() => passed.includes("local 4"));
  expect(passed).toEqual(["local 1", "local 2", "local 3", "local 4"]);
  const { spool, sinks } = stats();
  expect(sinks["influx"]).toMatchObject({ waiting: 1 });
  expect(sinks["influx"]?.["oldest_age_seconds"]).toBeGreaterThanOrEqual(3_600);
  expect(spool.oldest_age_seconds).toBeGreaterThanOrEqual(3_600);
  expect(sinks["local"]).toMatchObject({ waiting: 0, oldest_age_seconds: 0 });
});
