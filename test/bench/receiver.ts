/**
 * The floor of the ingest bench: a bare MQTT.js receiver that parses JSON, notes when messages came, and does nothing else. Its own
 * process. A number on standard input asks which messages from that number on have come.
 */
import { connect } from "mqtt";

const [port = "", clientId = ""] = process.argv.slice(2);
const timesMs: number[] = [];
let probed = false;

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
  if (seq < 0) probed = true;
  else timesMs[seq] = Date.now();
});

for await (const line of console) {
  const times = timesMs.slice(Math.max(Number(line), 0)).filter((atMs) => atMs > 0);
  const count = times.length + (Number(line) < 0 && probed ? 1 : 0);
  const [firstMs, lastMs] = times.reduce(
    ([low, high], atMs) => [Math.min(low, atMs), Math.max(high, atMs)],
    [Infinity, 0],
  );
  console.log(JSON.stringify({ count, firstMs, lastMs }));
}
