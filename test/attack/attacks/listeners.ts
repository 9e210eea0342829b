/**
 * What a device or a stranger can demand from the embedded broker besides messages: subscriptions, identities, and
 * reconnecting again and again.
 */
import type { Stats } from "../../../src/admin/measurements.ts";
import type { GatewayProcess } from "../../kit/gateway.ts";
import { connectPacket, publishPacket } from "../../kit/wire.ts";
import type { Attack } from "../attack.ts";
import { bytesOf, open, openDevice, ownTopic, reading, write } from "../wire.ts";

const holdMs = 2000;
const pingPacket = bytesOf({ cmd: "pingreq" });

/** What must hold after credentials were guessed. `secret`: a part of each guess. */
function guessed(secret: string, gateway: GatewayProcess, [first]: readonly Stats[]): string[] {
  const source = first?.["source"] as { refused_connects: number } | undefined;
  return [
    ...(source?.refused_connects ? [] : ["no refused CONNECT was counted"]),
    ...(gateway.log().includes(secret) ? [`${secret} is in the log`] : []),
  ];
}

export const listenerAttacks: readonly Attack[] = [
  {
    name: "overlapping-subscriptions",
    says: "subscribes to as many overlapping filters and then publishes",
    who: "one registered device",
    costs: "a packet per filter",
    auth: true,
    few: 300,
    many: 20_000,
    async run(target, times) {
      const device = await openDevice(target, "ears");
      device.resume();
      for (let i = 1; i <= times && !device.destroyed; i++) {
        const subscriptions = [{ topic: ownTopic(target, `${"+/".repeat(i % 7)}${i}/#`), qos: 0 as const }];
        device.write(bytesOf({ cmd: "subscribe", messageId: i, subscriptions }));
      }
      for (let i = 1; i <= 500 && !device.destroyed; i++)
        device.write(bytesOf(publishPacket(i, reading(target), { topic: ownTopic(target) })));
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "listeners-and-a-flood",
    says: "listens to its own topic with four connections and publishes as fast as it can",
    who: "one registered device",
    costs: "four connections",
    auth: true,
    few: 2_000,
    many: 30_000,
    async run(target, times) {
      const ears = [];
      for (let i = 0; i < 3; i++) {
        const ear = await openDevice(target, `ear-${i}`);
        ear.write(
          bytesOf({
            cmd: "subscribe",
            messageId: 1,
            subscriptions: [{ topic: ownTopic(target, "#"), qos: 0 }],
          }),
        );
        ear.resume();
        ears.push(ear);
      }
      const mouth = await openDevice(target, "mouth");
      mouth.resume();
      let sent = 0;
      for (; sent < times && !mouth.destroyed; sent++) {
        const packet = bytesOf(
          publishPacket((sent % 65_535) + 1, reading(target), { topic: ownTopic(target) }),
        );
        await write(mouth, packet);
      }
      await Bun.sleep(holdMs);
      return sent;
    },
  },
  {
    name: "guessing",
    says: "guesses the password of a device, a connection per try",
    who: "anybody who reaches the port",
    costs: "a connection each",
    auth: true,
    few: 200,
    many: 2_000,
    async run(target, times) {
      const { tenantId, deviceId } = target.other;
      for (let i = 0; i < times; i++) {
        const socket = await open(target, target.mqttPort);
        socket.write(
          bytesOf(connectPacket(`guess-${i}`, { username: `${tenantId}/${deviceId}`, password: `tok-${i}` })),
        );
        socket.resume();
      }
      await Bun.sleep(holdMs);
      return times;
    },
    also: (_, gateway, stats) => [
      ...guessed("tok-1", gateway, stats),
      ...(gateway.log().includes("CONNECT refused") ? [] : ["no word in the log"]),
    ],
  },
  {
    name: "guessing-tokens",
    says: "guesses tokens, which it gives alone as user name, a connection per try",
    who: "anybody who reaches the port",
    costs: "a connection each",
    auth: true,
    few: 0,
    many: 2_000,
    async run(target, times) {
      for (let i = 0; i < times; i++) {
        const socket = await open(target, target.mqttPort);
        socket.write(bytesOf(connectPacket(`guess-${i}`, { username: `tok-guess-number-${i}` })));
        socket.resume();
      }
      await Bun.sleep(holdMs);
      return times;
    },
    also: (_, gateway, stats) => guessed("tok-guess", gateway, stats),
  },
  {
    name: "packets-behind-a-guess",
    says: "sends thousands of packets behind a wrong password without waiting for the answer, again and again",
    who: "anybody who reaches the port",
    costs: "20 kB each, no credentials",
    auth: true,
    few: 100,
    many: 1_000,
    async run(target, times) {
      const pings = Buffer.alloc(20_000, pingPacket);
      for (let i = 0; i < times; i++) {
        const connect = connectPacket(`behind-${i}`, { username: "acme/none", password: `tok-${i}` });
        const socket = await open(target, target.mqttPort);
        socket.write(Buffer.concat([bytesOf(connect), pings]));
        socket.resume();
      }
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "pings",
    says: "sends ten thousand pings at once, again and again from twenty connections",
    who: "one registered device",
    costs: "20 kB each",
    auth: true,
    few: 100,
    many: 2_000,
    async run(target, times) {
      const pings = Buffer.alloc(20_000, pingPacket);
      for (let from = 0; from < times; from += 20)
        await Promise.all(
          Array.from({ length: 20 }, async (_, i) => {
            const device = await openDevice(target, `ping-${from + i}`);
            device.resume();
            device.write(pings);
          }),
        );
      await Bun.sleep(holdMs);
      return times;
    },
  },
  {
    name: "reconnecting",
    says: "connects, sends 200 kB of a message and leaves, again and again",
    who: "one registered device",
    costs: "200 kB each",
    auth: true,
    few: 100,
    many: 1_500,
    async run(target, times) {
      const packet = bytesOf(publishPacket(1, "x".repeat(200_000), { topic: ownTopic(target) }));
      for (let i = 0; i < times; i++) {
        const device = await openDevice(target, `again-${i}`);
        device.write(packet);
        setTimeout(() => device.destroy(), 20);
        if (i % 20 === 0) await Bun.sleep(50);
      }
      await Bun.sleep(holdMs);
      return times;
    },
  },
];
