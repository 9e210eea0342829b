/** What an operator corrects while the gateway runs is tried at once. */
import { afterEach, test } from "bun:test";
import { join } from "node:path";
import { loadConfig } from "../../src/config/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { endLater, registered, scratch, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

afterEach(stopAll);

test.each([
  [
    "a sink whose token was refused, which is tried each half minute, is tried at once with a renewed one",
    false,
  ],
  ["so it is while the database does not answer, which is to tell the settings that it has", true],
])("%s", async (_, isAway) => {
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
  const dataDir = scratch();
  const store = openSqliteStore({ path: join(dataDir, "local.db"), gatewayId: "test", log: silentLog });
  let settings = store.registry.settings;
  const registry = { ...store.registry, settings: () => settings() };
  const { gateway, source, stats } = await startInProcess(
    { ...env, DATA_DIR: dataDir },
    { store: { ...store, registry } },
  );
  await gateway.view.devices.add(registered(["d1"]));
  source.give(telemetry("d1", 1));
  await until(() => String(stats().sinks["influx"]?.["trouble"]).includes("401"));
  if (isAway) settings = () => new Promise(() => {});
  void gateway.reload(loadConfig({ ...env, INFLUXDB_TOKEN: "renewed", DATA_DIR: dataDir }));
  await until(() => stats().sinks["influx"]?.delivered === 1, 15_000);
});
