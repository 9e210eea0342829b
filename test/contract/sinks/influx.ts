/** The InfluxDB sink in the contract suite: a strict fake of version 3 behind a proxy that misbehaves on demand. */
import { startInflux3 } from "../../kit/influx3.ts";
import { openInflux } from "../../kit/influxsink.ts";
import { startProxy } from "../../kit/proxy.ts";
import type { SinkFixture } from "../fixtures.ts";

export const fixture: SinkFixture = {
  name: "influx",
  unavailable: "",
  positions: false,
  outages: true,
  poison: { payload: '{"metrics":{"n":1,"time":2}}' },
  async open(timeoutMs) {
    const server = await startInflux3();
    const proxy = await startProxy({ port: Number(new URL(server.url).port) });
    const influx = openInflux({ url: `http://127.0.0.1:${proxy.port}`, timeoutMs });
    return {
      sink: influx.sink,
      async reopen() {
        await influx.restart();
        return influx.sink;
      },
      async stored() {
        const points = [...server.databases.values()].flatMap((database) => database.points("telemetry"));
        return points.map(({ fields }) => Number(fields.get("n")?.value)).sort((a, b) => a - b);
      },
      far: (mode) => proxy.mode(mode === "hang" ? "blackhole" : mode),
      async stop() {
        await influx.dispose();
        await proxy.stop();
        await server.stop();
      },
    };
  },
};
