/** An embedded broker on a free port, and byte-level devices; `cleanUp` ends what a test has started. */
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { brokerSettings } from "../../src/source/broker/settings.ts";
import { type BrokerOptions, openBrokerSource } from "../../src/source/broker/source.ts";
import { fakeIntake, settingsOf, until } from "./source.ts";
import { connectPacket, type WireClient, wireClient } from "./wire.ts";

const ends: (() => unknown)[] = [];

export const endLater = (end: () => unknown) => void ends.push(end);

/** For `afterEach`. */
export async function cleanUp(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}

const LOCAL = { BROKER_LISTEN: "127.0.0.1:0" };

/** `settles`: settles every message at once. */
export async function embeddedBroker(
  env: Record<string, string> = {},
  more: Partial<BrokerOptions> = {},
  settles = false,
) {
  const settings = settingsOf(brokerSettings, { ...LOCAL, ...env });
  const source = openBrokerSource({ settings, clock: systemClock, log: silentLog, ...more });
  const intake = fakeIntake(settles ? () => source : undefined);
  endLater(() => source.close());
  await source.start(intake);
  return { source, intake, port: source.address().port };
}

/** A device after CONNACK. */
export async function device(
  port: number,
  clientId = "c1",
  login: { username?: string; password?: string } = {},
) {
  const client = await wireClient(port);
  endLater(() => client.socket.destroy());
  client.send(connectPacket(clientId, login));
  await until("CONNACK", () => client.packets.length > 0 || client.closed());
  return client;
}

export const idsOf = (client: WireClient, cmd: string) =>
  client.packets.filter((packet) => packet.cmd === cmd).map((packet) => packet.messageId);
export const returnCodeOf = (client: WireClient) =>
  client.packets[0]?.cmd === "connack" ? client.packets[0].returnCode : undefined;
export const ping = async (client: WireClient) => {
  client.send({ cmd: "pingreq" });
  const before = idsOf(client, "pingresp").length;
  await until("PINGRESP", () => idsOf(client, "pingresp").length > before);
};
