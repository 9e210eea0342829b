/** STATUS_TOPIC at brokers of MQTT 3.1.1, which cannot say why they end a connection: messages come all the same. */
import { expect, test } from "bun:test";
import type { IConnectPacket, Packet } from "mqtt-packet";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, recordingLog, until } from "../../kit/source.ts";
import { publishPacket, type WireBroker, wireBroker } from "../../kit/wire.ts";

const ends = endsAfterEach();
const statusTopic = { topic: "site/status", lastWill: "gone" };

/** A source that has a status to tell, with a broker that ends a connection at some packets. */
async function told(hangsUpAt: (packet: Packet) => boolean) {
  const broker = await wireBroker({ version: 4, hangsUpAt });
  const { log, lines } = recordingLog();
  const intake = fakeIntake();
  const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, MQTT_VERSION: "3.1.1" };
  const source = mqttSource(env, { log, statusTopic });
  ends.push(
    () => broker.close(),
    () => source.close(),
  );
  source.announce?.("working");
  await source.start(intake);
  return { broker, intake, source, lines };
}

const connects = (broker: WireBroker) =>
  broker.packets.filter((packet): packet is IConnectPacket => packet.cmd === "connect");
const hasWill = (packet: Packet) => packet.cmd === "connect" && packet.will !== undefined;

test.each([
  ["at the last will", hasWill, "answers a CONNECT without STATUS_TOPIC's last will, and none with it"],
  [
    "at the status",
    (packet: Packet) => packet.cmd === "publish",
    "ends the connection when STATUS_TOPIC site/status is published",
  ],
] as const)(
  "a broker that ends the connection %s is used without it, which is said once",
  async (_, at, why) => {
    const { broker, intake, source, lines } = await told(at);
    const isSaid = () =>
      source.status().connected && source.status().detail.includes("health is not published");
    await until("a connection without it", isSaid);
    expect(source.status().detail).toContain(why);
    broker.send(publishPacket(1, "a reading"));
    await until("a reading", () => intake.messages.length === 1);

    const before = connects(broker).length;
    source.reconnect?.();
    await until("another connection without it", () => connects(broker).length > before && isSaid());
    expect(connects(broker).slice(before).filter(hasWill)).toHaveLength(1);
    expect(lines.filter(({ msg }) => msg.startsWith("health is not published"))).toHaveLength(1);
  },
);

test("a broker that had only to start gets the last will and the status, and nothing is said of them", async () => {
  let early = 3;
  const { broker, source } = await told((packet) => packet.cmd === "connect" && early-- > 0);
  await until("the status", () => broker.packets.some(({ cmd }) => cmd === "publish"));
  expect(connects(broker).map((packet) => hasWill(packet))).toEqual([true, true, false, true]);
  expect(source.status().detail).not.toContain("health");
});
