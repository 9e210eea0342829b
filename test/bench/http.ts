/**
 * What a message costs that comes over HTTP, one per request and in batches of a hundred, beside the same messages over MQTT at the
 * embedded broker: the whole gateway with its local store, one run, one machine.
 */
import { createFleet } from "../../src/simulator/fleet.ts";
import { publishFleet } from "../../src/simulator/publisher.ts";
import { registryCsv } from "../../src/simulator/registration.ts";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type GatewayProcess, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { freePort } from "../kit/port.ts";

const connections = 16;
const fleetOf = () => createFleet({ seed: 7, devices: 1_000, tenants: ["acme"], faults: {} });

interface Site {
  readonly gateway: GatewayProcess;
  readonly http: string;
  readonly mqtt: string;
}

export async function run([count = "20000", rounds = "2"]: readonly string[]): Promise<void> {
  const messages = Number(count);
  console.log(
    `${messages} messages of 1000 devices; ${rounds} rounds; CPU of the gateway with its local store\n`,
  );
  for (let round = 0; round < Number(rounds); round++) {
    const mqtt = await cost(messages, ({ mqtt: url }) => overMqtt(url, messages));
    const single = await cost(messages, ({ http }) => overHttp(http, messages, 1));
    const batched = await cost(messages, ({ http }) => overHttp(http, messages, 100));
    const line = (name: string, micros: number) =>
      console.log(
        `${name.padEnd(26)} ${micros.toFixed(1)} µs a message, ${(micros / mqtt).toFixed(2)} of MQTT`,
      );
    line("MQTT, embedded broker", mqtt);
    line("HTTP, one per request", single);
    line("HTTP, 100 per request", batched);
    console.log("");
  }
}

/** CPU of a fresh gateway per message, once all are stored. */
async function cost(messages: number, send: (site: Site) => Promise<void>): Promise<number> {
  const [http, mqtt] = [await freePort(), await freePort()];
  const gateway = await startGateway({
    INGEST_LISTEN: `127.0.0.1:${http}`,
    BROKER_LISTEN: `127.0.0.1:${mqtt}`,
    LOG_STATS_EVERY_SECONDS: "0",
  });
  try {
    const file = join(gateway.dataDir, "devices.csv");
    writeFileSync(file, [...registryCsv(fleetOf().devices)].join(""));
    const added = await sluice({ DATA_DIR: gateway.dataDir }, "devices", "import", file);
    if (added.code !== 0) throw new Error(added.err);
    const before = gateway.cpuMicros();
    await send({ gateway, http: `http://127.0.0.1:${http}`, mqtt: `mqtt://127.0.0.1:${mqtt}` });
    const stats = await statsWhen(gateway, ({ sinks }) => sinks["local"]?.delivered === messages);
    if (!stats.balanced || stats.ingest.accepted !== messages) throw new Error(JSON.stringify(stats.ingest));
    return (gateway.cpuMicros() - before) / messages;
  } finally {
    await gateway.stop();
  }
}

async function overMqtt(brokerUrl: string, messages: number): Promise<void> {
  await publishFleet({
    brokerUrl,
    fleet: fleetOf(),
    rate: 0,
    qos: 1,
    protocolVersion: 4,
    count: messages,
    connections,
    window: 1_000,
    drainMs: 60_000,
    clientIdPrefix: "bench",
  });
}

async function overHttp(url: string, messages: number, perRequest: number): Promise<void> {
  const fleet = fleetOf();
  let left = messages;
  const post = async (path: string, body: string) => {
    const response = await fetch(`${url}/ingest/v1/${path}`, { method: "POST", body });
    const answer = (await response.json()) as { accepted?: number };
    if (response.status !== 202) throw new Error(`${response.status}: ${JSON.stringify(answer)}`);
    return answer.accepted ?? 1;
  };
  const sendSome = async () => {
    while (left > 0) {
      const many = Math.min(perRequest, left);
      left -= many;
      const some = Array.from({ length: many }, () => fleet.next(Date.now()));
      const texts = some.map(({ payload }) => payload.toString());
      const [first] = some;
      const accepted =
        perRequest === 1
          ? await post(`topic/${first?.topic ?? ""}`, texts.join(""))
          : await post("batch", texts.join("\n"));
      if (accepted !== many) throw new Error(`${accepted} of ${many} accepted`);
    }
  };
  await Promise.all(Array.from({ length: connections }, sendSome));
}
