/** The floor of the ingest bench: a bare MQTT.js receiver that parses JSON, and does nothing else. Its own process. */
import { connect } from "mqtt";

const [port = "", clientId = "", count = "0"] = process.argv.slice(2);
const wanted = Number(count);
let received = 0;
let startedAt = 0;
let cpu = process.cpuUsage();

const client = connect({
  host: "127.0.0.1",
  port: Number(port),
  protocolVersion: 5,
  clientId,
  clean: false,
  properties: { sessionExpiryInterval: 3600, receiveMaximum: 20_000 },
});
client.on("connect", (connack) => {
  if (!connack.sessionPresent)
    client.subscribe("tenant/+/device/+/+", { qos: 1 }, () => wanted === 0 && finish());
});
client.on("message", (_topic, payload) => {
  if (received++ === 0) {
    startedAt = performance.now();
    cpu = process.cpuUsage();
  }
  JSON.parse(payload.toString());
  if (received === wanted) finish();
});

function finish(): void {
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ ms: performance.now() - startedAt, cpuMicros: user + system }));
  client.end(false, () => process.exit(0));
}
