/** The gateway itself is killed, stopped, doubled; what a broker sends again is recognised. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../../../src/simulator/random.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

/** At any moment from the first message on. */
async function killed(site: Site, times: number, random: Random): Promise<number> {
  for (let i = 0; i < times; i++) {
    await Bun.sleep(random.whole(0, 300));
    await site.killAndStart();
  }
  return times;
}

export const gatewayFaults: readonly Fault[] = [
  {
    name: "gateway-kill9",
    says: "Gateway: `kill -9` at random moments under load",
    site: { rate: 2000 },
    few: 8,
    many: 100,
    run: killed,
  },
  {
    name: "gateway-kill9-mqtt3",
    says: "The same with MQTT 3.1.1 and an untuned Mosquitto (20 in flight, 1,000 queued; less than that is sent)",
    site: { protocolVersion: 4, brokerLines: [], rate: 100 },
    few: 4,
    many: 30,
    run: killed,
  },
  {
    name: "gateway-kill9-default-mosquitto",
    says: "The same with MQTT 5 and an untuned Mosquitto (1,000 queued; less than that is sent)",
    site: { brokerLines: [], rate: 200 },
    few: 4,
    many: 30,
    run: killed,
  },
  {
    name: "embedded-kill9",
    says: "The same where the gateway is the broker itself: devices send again, with DUP",
    site: { embedded: true, rate: 1000, protocolVersion: 4 },
    few: 4,
    many: 50,
    run: killed,
  },
  {
    name: "alone-kill9",
    says: "The same without any server: embedded broker, local store",
    site: { embedded: true, local: true, rate: 1000, protocolVersion: 4 },
    few: 4,
    many: 50,
    run: killed,
  },
  {
    name: "http-kill9",
    says: "HTTP ingest: `kill -9` under load; senders try again with the same Idempotency-Key",
    site: { http: true, rate: 500 },
    few: 4,
    many: 50,
    run: killed,
  },
  {
    name: "gateway-restart",
    says: "Gateway: stopped in order (SIGTERM) and started again under load",
    few: 3,
    many: 20,
    async run(site, times, random) {
      let inOrder = 0;
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(0, 400));
        if ((await site.gateway.stop()) === 0) inOrder++;
        await site.start();
      }
      return inOrder;
    },
  },
  {
    name: "puback-lost",
    says: "PUBACKs lost on the way, then the line cut or the gateway killed: all comes again, and is known",
    few: 4,
    many: 20,
    async run(site, times) {
      let swallowing = false;
      let swallowed = 0;
      site.brokerLine.onSend((piece) => {
        // MQTT 5 §3.4: 0x40. The PUBACKs of a group go out in one piece.
        const lost = swallowing && piece[0] === 0x40;
        if (lost) swallowed++;
        return !lost;
      });
      for (let i = 0; i < times; i++) {
        const before = swallowed;
        swallowing = true;
        await until(() => swallowed >= before + 3, 60_000);
        if (i % 2 === 0) site.brokerLine.cut();
        else await site.killAndStart();
        swallowing = false;
        await Bun.sleep(200);
      }
      return times;
    },
    also: (_, stats) =>
      stats.some(({ ingest }) => ingest.duplicate > 0) ? [] : ["nothing came again, or it was not counted"],
  },
  {
    name: "share-group",
    says: "Two gateways in one share group, one of them killed again and again",
    site: { env: { MQTT_SHARE_GROUP: "site" } },
    few: 3,
    many: 20,
    async run(site, times, random) {
      const dataDir = site.newDataDir();
      const second = () => site.startAnother({ GATEWAY_ID: "second-gateway" }, dataDir);
      let gateway = await second();
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(100, 500));
        await gateway.kill9();
        await Bun.sleep(random.whole(0, 200));
        const next = await second();
        site.replace(gateway, next);
        gateway = next;
      }
      return times;
    },
    also: (_, stats) =>
      stats.length === 2 && stats.every(({ ingest }) => ingest.received > 0)
        ? []
        : ["not both gateways took part"],
  },
  {
    name: "lock-removed",
    says: "`rm spool.lock` while it runs, and a second gateway on the same spool: the first one acknowledges nothing more",
    few: 2,
    many: 20,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        const first = site.gateway;
        rmSync(join(site.dataDir, "spool.lock"));
        const second = await site.startAnother();
        // Both of them are at work, and take the session from each other.
        await Bun.sleep(random.whole(500, 1500));
        site.replace(first, second);
        await first.kill9();
      }
      return times;
    },
  },
  {
    name: "many-starts",
    says: "More than 1,000 starts while InfluxDB is away: what PostgreSQL has had is not brought there again",
    site: { rate: 0, influx: true },
    few: 0,
    many: 1_020,
    async run(site, times) {
      site.influx?.line.mode("refuse");
      for (let i = 0; i < times; i++) {
        await site.publish({ count: 1 });
        await until(async () => (await site.gateway.stats()).sinks["postgres"]?.waiting === 0, 60_000);
        await site.killAndStart();
      }
      site.influx?.line.mode("pass");
      return times;
    },
  },
];
