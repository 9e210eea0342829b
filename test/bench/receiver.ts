/**
 * The floor of the ingest bench: a bare MQTT.js receiver that parses JSON, notes when messages came, and does nothing else. Its own
 * process. A number and a count on standard input ask when those messages came.
 */
import { connect } from "mqtt";

const [port = "", clientId = ""] = process.argv.slice(2);
/** By number; those before the first are probes. */
const timesMs = new Map<number, number>();

const client = connect({
  host: "127.0.0.1",
  port: Number(port),
  protocolVersion: 5,
  clientId,
  clean: false,
  properties: { sessionExpiryInterval: 3600, receiveMaximum: 20_000 },
});
client.on("connect", () => client.subscribe("tenant/+/device/+/+", { qos: 1 }));
client.on("message", (_topic, payload) => {
  const { seq } = JSON.parse(payload.toString()) as { seq: number };
  timesMs.set(seq, performance.timeOrigin + performance.now());
});

for await (const line of console) {
  const [from = 0, count = 0] = line.split(" ").map(Number);
  const times = Array.from({ length: count }, (_, i) => timesMs.get(from + i) ?? 0);
  console.log(JSON.stringify({ rows: times.filter((atMs) => atMs > 0).length, timesMs: times }));
}
