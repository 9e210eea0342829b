/** What the broker drops before we see it, by its own count: of a real Mosquitto with its default limit, and of brokers that do not tell. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { createBrokerLosses } from "../../../src/source/mqtt/broker-losses.ts";
import { createSessionMemory } from "../../../src/source/mqtt/session-memory.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mosquittoAvailable, startMosquitto } from "../../kit/mosquitto.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { startProxy } from "../../kit/proxy.ts";
import { fakeIntake, recordingLog, until } from "../../kit/source.ts";

setDefaultTimeout(60_000);

const ends = endsAfterEach();

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "sluice-losses-"));
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function mosquitto(...lines: string[]) {
  const broker = await startMosquitto({ lines: ["sys_interval 1", ...lines] });
  ends.push(() => broker.dispose());
  return broker;
}

/** A gateway as it is after a start with this data directory. */
async function started(port: number, dir: string, version: string) {
  const recorded = recordingLog();
  const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_VERSION: version };
  const source = mqttSource(env, {
    log: recorded.log,
    memory: createSessionMemory(join(dir, "mqtt-session.json"), silentLog),
    lossesFile: join(dir, "mqtt-losses.json"),
  });
  const intake = fakeIntake(() => source);
  ends.push(() => source.close());
  await source.start(intake);
  const status = () => source.status() as ReturnType<typeof source.status> & Partial<Record<string, unknown>>;
  return { source, intake, status, lines: recorded.lines };
}

async function publish(port: number, count: number): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
  const topic = "tenant/acme/device/d1/telemetry";
  await Promise.all(
    Array.from({ length: count }, (_, n) => client.publishAsync(topic, String(n), { qos: 1 })),
  );
  await client.endAsync();
}

test.skipIf(!mosquittoAvailable()).each(["5", "3.1.1"])(
  "what a default Mosquitto dropped while we were away is counted, told of, and is no message (MQTT %s)",
  async (version) => {
    const { port } = await mosquitto();
    const dir = scratch();
    const first = await started(port, dir, version);
    await until("the broker tells", () => first.status()["broker_dropped"] === 0);
    expect(first.status()["broker_dropped_at"]).toBeNull();
    await first.source.close();
    await publish(port, 1_500);
    await Bun.sleep(1_100);
    const second = await started(port, dir, version);
    await until("the broker tells of more", () => Number(second.status()["broker_dropped"]) > 0);
    await until(
      "all came or are told of",
      () => second.intake.messages.length + Number(second.status()["broker_dropped"]) >= 1_500,
    );
    expect(second.intake.messages.length + Number(second.status()["broker_dropped"])).toBe(1_500);
    expect(new Set(second.intake.messages.map(({ topic }) => topic)).size).toBe(1);
    expect(second.lines.filter(({ msg }) => msg.includes("dropped messages"))).toHaveLength(1);
    await second.source.close();
    // Known already: no news.
    const third = await started(port, dir, version);
    await until("the broker tells", () => third.status()["broker_dropped"] === 0);
  },
);

test.skipIf(!mosquittoAvailable())("a broker that does not let us ask is left alone", async () => {
  const acl = join(scratch(), "acl");
  writeFileSync(acl, "topic readwrite tenant/#\n", { mode: 0o644 });
  const { port } = await mosquitto(`acl_file ${acl}`);
  const { source, intake, status, lines } = await started(port, scratch(), "5");
  for (const count of [1, 2, 3]) {
    await publish(port, 1);
    await until("the message comes", () => intake.messages.length === count);
    source.reconnect();
    await until("it is connected again", () => status().connected && status().reconnects === count);
  }
  expect(status()).not.toHaveProperty("broker_dropped");
  expect(JSON.stringify(lines)).not.toContain("$SYS");
});

test.skipIf(!mosquittoAvailable())(
  "a broker that ends the connection when asked is not asked again",
  async () => {
    const { port } = await mosquitto();
    const proxy = await startProxy({ port });
    ends.push(() => proxy.stop());
    let asked = 0;
    proxy.onSend((piece, connection) => {
      if (!piece.includes("$SYS/")) return true;
      asked += 1;
      connection.cut();
      return false;
    });
    const { intake, status } = await started(proxy.port, scratch(), "5");
    await until("it is connected again", () => status().reconnects === 2 && status().connected);
    await publish(port, 1);
    await until("the message comes", () => intake.messages.length === 1);
    expect(asked).toBe(2);
  },
);

test("a count that begins anew counts whole; what is no count, and the same count again, do not", () => {
  const path = join(scratch(), "losses.json");
  const heard = (...counts: string[]) => {
    const losses = createBrokerLosses(path, "broker:1883", systemClock, silentLog);
    for (const count of counts) losses.heard(Buffer.from(count));
    return losses.stats()["broker_dropped"];
  };
  expect(heard()).toBeUndefined();
  expect(heard("", "x", "-1", "1e9", "1.5", "9".repeat(30))).toBeUndefined();
  expect(heard("70")).toBe(0);
  expect(heard("70", "75", "75", "80")).toBe(10);
  expect(heard("80")).toBe(0);
  expect(heard("85", "3", "4")).toBe(9);
  writeFileSync(path, "{");
  expect(heard("100", "101")).toBe(1);
});
