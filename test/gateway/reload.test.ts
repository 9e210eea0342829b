/** What an operator corrects while the gateway runs is tried at once. */
import { afterEach, test } from "bun:test";
import { loadConfig } from "../../src/config/index.ts";
import { endLater, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

afterEach(stopAll);

test("a sink whose token was refused, which is tried each half minute, is tried at once with a renewed one", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ headers }) =>
      new Response(null, { status: headers.get("authorization") === "Token renewed" ? 204 : 401 }),
  });
  endLater(() => server.stop(true));
  const env = {
    INFLUXDB_URL: server.url.origin,
    INFLUXDB_API: "v2",
    INFLUXDB_ORG: "works",
    INFLUXDB_DATABASE: "iot",
    INFLUXDB_TOKEN: "old",
  };
  const { gateway, source, stats, dataDir } = await startInProcess(env);
  await gateway.view.devices.add(registered(["d1"]));
  source.give(telemetry("d1", 1));
  await until(() => String(stats().sinks["influx"]?.["trouble"]).includes("401"));
  await gateway.reload(loadConfig({ ...env, INFLUXDB_TOKEN: "renewed", DATA_DIR: dataDir }));
  await until(() => stats().sinks["influx"]?.delivered === 1, 15_000);
});
