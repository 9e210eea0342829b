/** Floods through a broker that is open to the site: made-up names, and messages that PostgreSQL will never take. */
import { once } from "node:events";
import { publishPacket, connectPacket } from "../../kit/wire.ts";
import type { Attack, Target } from "../attack.ts";
import { bytesOf, open, openDevice, ownTopic, reading, write } from "../wire.ts";

const payload = JSON.stringify({ site_id: "lab-1", metrics: { x: 1 } });

/** Publishes with QoS 1 as fast as the broker takes it. */
async function flood(
  target: Target,
  times: number,
  message: (i: number) => { topic: string; payload: string },
): Promise<number> {
  const socket = await open(target, target.mqttPort);
  socket.write(bytesOf(connectPacket(`flood-${process.pid}`)));
  socket.resume();
  let sent = 0;
  for (; sent < times && !socket.destroyed; sent++) {
    const { topic, payload: text } = message(sent);
    const packet = bytesOf(publishPacket((sent % 65_535) + 1, text, { topic }));
    await write(socket, packet);
  }
  // What the kernel holds is not at the broker yet.
  await Bun.sleep(500);
  socket.end();
  return sent;
}

/** One message of his own device under the same client and packet identifier, acknowledged. */
async function sayOnce(target: Target, dup: boolean): Promise<void> {
  const device = await openDevice(target, "victim");
  const topic = ownTopic(target);
  const answered = once(device, "data");
  device.write(bytesOf(publishPacket(7, reading(target), { topic, dup })));
  await answered;
  device.destroy();
}

export const floodAttacks: readonly Attack[] = [
  {
    name: "made-up-devices",
    says: "publishes for made-up devices, each once",
    who: "anybody whom the site's broker lets publish",
    costs: "a small message each",
    site: "broker",
    few: 5_000,
    many: 100_000,
    run: (target, times) =>
      flood(target, times, (i) => ({ topic: `tenant/acme/device/made-up-${i}/telemetry`, payload })),
    also: (_, __, stats) =>
      stats.flatMap(({ ingest }) =>
        Number(ingest["deferred"]) === 0
          ? []
          : [`${String(ingest["deferred"])} strangers are still to be judged`],
      ),
  },
  {
    name: "made-up-tenants",
    says: "publishes for made-up tenants, each once",
    who: "anybody whom the site's broker lets publish",
    costs: "a small message each",
    site: "broker",
    few: 5_000,
    many: 100_000,
    run: (target, times) =>
      flood(target, times, (i) => ({ topic: `tenant/made-up-${i}/device/d/telemetry`, payload })),
    async also(site) {
      const [row] = await site.sql(
        (sql) => sql<{ n: number }[]>`select count(*)::int as n from quarantine_counters_minute`,
      );
      return (row?.n ?? 0) <= 2_000 ? [] : [`${row?.n} rows in quarantine_counters_minute`];
    },
  },
  {
    name: "made-up-registered",
    says: "publishes for made-up devices, each twice, to a gateway with AUTO_PROVISION",
    who: "anybody whom the site's broker lets publish",
    costs: "a small message each",
    site: "broker",
    env: { AUTO_PROVISION: "1" },
    few: 0,
    many: 60_000,
    run: (target, times) =>
      flood(target, times, (i) => ({
        topic: `tenant/acme/device/made-up-${i % (times / 2)}/telemetry`,
        payload,
      })),
    async also(site) {
      const [row] = await site.sql(
        (sql) => sql<{ n: number }[]>`select count(*)::int as n from device_registry`,
      );
      return (row?.n ?? 0) <= 1_100 ? [] : [`${row?.n} devices in device_registry`];
    },
  },
  {
    name: "window-flush",
    says: "sends messages that are rejected, between a device's message and the same again with DUP",
    who: "anybody who reaches the port",
    costs: "a small message each",
    few: 0,
    many: 101_000,
    async run(target, times) {
      await sayOnce(target, false);
      const topic = ownTopic(target);
      const sent = await flood(target, times, () => ({ topic, payload: "{}" }));
      await sayOnce(target, true);
      return sent;
    },
    also: (_, __, stats) =>
      stats.some(({ ingest }) => ingest.duplicate === 1)
        ? []
        : ["the message that came again with DUP was not known as a duplicate"],
  },
  {
    name: "refused-flood",
    says: "sends messages that a constraint of raw_events refuses, none good between them",
    who: "one registered device",
    costs: "a small message each",
    site: "broker",
    env: { DEAD_LETTERS_MAX_BYTES: "1MiB" },
    async before(site) {
      await site.sql((sql) => sql.unsafe("alter table raw_events add check (msg_type <> 'poison')"));
    },
    few: 3_000,
    many: 60_000,
    run: (target, times) =>
      flood(target, times, () => ({
        topic: ownTopic(target, "poison"),
        payload: reading(target),
      })),
    async also(_, gateway, stats) {
      const bytes = Number(stats[0]?.spool["dead_letters_bytes"]);
      const ready = await (await fetch(`${gateway.url}/readyz`)).text();
      return [
        ...(bytes <= 1_048_576 ? [] : [`dead letters of ${bytes} bytes`]),
        ...(gateway.log().includes("entries are refused") ? [] : ["no word in the log of what is refused"]),
        ...(ready.includes("sluice dead-letters list") ? [] : ["no word in /readyz of the dead letters"]),
      ];
    },
  },
];
