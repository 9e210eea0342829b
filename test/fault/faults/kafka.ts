/**
 * Kafka is killed, hangs, refuses, forgets, moves its leaders; the gateway is killed, or doubled. PostgreSQL must not notice, and in the
 * end an independent reader of committed records finds every event and every reject once, in the order of its device.
 */
import type { Stats } from "../../../src/admin/measurements.ts";
import { startGateway, type GatewayProcess } from "../../kit/gateway.ts";
import { deleteGroup, kafkaTestable } from "../../kit/kafka/client.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import { complaintsOfKafka } from "../kafka-side.ts";
import type { Site } from "../site.ts";
import { localTables } from "../tables.ts";
import { delivers, kafkaOf, sinks } from "./looks.ts";

const also = async (site: Site, stats: readonly Stats[]) =>
  complaintsOfKafka(kafkaOf(site), stats, await site.rows());
const prepare = kafkaTestable;
const firstOf = (site: Site) => {
  const [broker] = kafkaOf(site).cluster.brokers;
  if (broker === undefined) throw new Error("no broker");
  return broker;
};

/** A fault that begins, takes effect while PostgreSQL goes on, and ends; then Kafka gets more. */
async function outages(
  site: Site,
  times: number,
  begin: () => unknown,
  end: () => unknown,
  isFelt = async () => (await sinks(site))["kafka"]?.["trouble"] !== null,
): Promise<number> {
  for (let i = 0; i < times; i++) {
    await delivers(site);
    await begin();
    await until(isFelt, 60_000);
    const before = (await sinks(site))["postgres"]?.delivered ?? 0;
    await until(async () => ((await sinks(site))["postgres"]?.delivered ?? 0) > before + 50, 60_000);
    await end();
    await delivers(site);
  }
  return times;
}

/** Of a gateway that reads what the site's gateway wrote to Kafka, into a store of its own. */
let central: GatewayProcess | undefined;

const centralEnv = (site: Site) => ({
  ...kafkaOf(site).env,
  KAFKA_VALIDATED_SOURCE: "1",
  GATEWAY_ID: "central",
});

export const kafkaFaults: readonly Fault[] = [
  {
    name: "kafka-gateway-kill9",
    says: "Kafka: the gateway `kill -9` at random moments under load",
    site: { rate: 1500, kafka: {} },
    few: 4,
    many: 40,
    prepare,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(0, 400));
        await site.killAndStart();
      }
      return times;
    },
    also,
  },
  {
    name: "kafka-broker-kill9",
    says: "Kafka: its broker `kill -9` under load",
    site: { kafka: {} },
    // A single broker that is killed in the middle of a commit may leave a transaction hanging, which is its fault.
    few: 0,
    many: 5,
    prepare,
    run: (site, times) =>
      outages(
        site,
        times,
        () => firstOf(site).end("SIGKILL"),
        () => firstOf(site).start(),
      ),
    also,
  },
  {
    name: "kafka-hang",
    says: "Kafka: its broker hangs (SIGSTOP) for longer than a request may take",
    site: { kafka: {} },
    few: 1,
    many: 5,
    prepare,
    run: (site, times) =>
      outages(
        site,
        times,
        () => firstOf(site).signal("SIGSTOP"),
        () => firstOf(site).signal("SIGCONT"),
      ),
    also,
  },
  {
    name: "kafka-refuse",
    says: "Kafka: connections refused for a while",
    site: { kafka: {} },
    few: 0,
    many: 5,
    prepare,
    run: (site, times) => {
      const { line } = kafkaOf(site);
      return outages(
        site,
        times,
        () => line.mode("refuse"),
        () => line.mode("pass"),
      );
    },
    also,
  },
  {
    name: "kafka-blackhole",
    says: "Kafka: a black hole on the way, on standing connections too",
    site: { kafka: {} },
    few: 0,
    many: 5,
    prepare,
    run(site, times) {
      const { line } = kafkaOf(site);
      const end = () => {
        line.cut();
        line.mode("pass");
      };
      return outages(site, times, () => line.mode("blackhole"), end);
    },
    also,
  },
  {
    name: "kafka-cut",
    says: "Kafka: the line cut in the middle of transactions, so that the answer to a commit is lost",
    site: { rate: 1500, kafka: {} },
    few: 5,
    many: 40,
    prepare,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await delivers(site);
        await Bun.sleep(random.whole(0, 60));
        kafkaOf(site).line.cut();
      }
      return times;
    },
    also,
  },
  {
    name: "kafka-leader-change",
    says: "Kafka: one of two brokers `kill -9`, back, stopped in order, back, so that leaders move each time",
    site: { kafka: { brokers: 2, properties: ["leader.imbalance.check.interval.seconds=1"] } },
    few: 0,
    many: 3,
    prepare,
    async run(site, times) {
      const [, second] = kafkaOf(site).cluster.brokers;
      for (let i = 0; i < times; i++) {
        for (const signal of ["SIGKILL", "SIGTERM"] as const) {
          await delivers(site);
          await second?.end(signal);
          await delivers(site);
          await second?.start();
          await delivers(site);
          // Until the leaders are back where they belong.
          await Bun.sleep(3_000);
        }
      }
      return times;
    },
    also,
  },
  {
    name: "kafka-twice",
    says: "Kafka: two gateways of one GATEWAY_ID, which shut each other out by turns",
    site: { kafka: {}, env: { MQTT_SHARE_GROUP: "both" } },
    few: 0,
    many: 3,
    prepare,
    async run(site, times) {
      const other = await site.startAnother(
        { MQTT_CLIENT_ID: "other", HTTP_LISTEN: "127.0.0.1:0" },
        site.newDataDir(),
      );
      for (let i = 0; i < times; i++) await Bun.sleep(4_000);
      const fenced = site.gateways
        .map((gateway) => gateway.log())
        .filter((log) => log.includes("another gateway uses"));
      void other;
      return fenced.length > 0 ? times : 0;
    },
    also,
  },
  {
    name: "kafka-forgets",
    says: "Kafka: position and transactional id forgotten while the gateway is off",
    site: {
      kafka: {
        properties: [
          "transactional.id.expiration.ms=1000",
          "producer.id.expiration.ms=1000",
          "transaction.remove.expired.transaction.cleanup.interval.ms=500",
          "producer.id.expiration.check.interval.ms=500",
        ],
      },
    },
    few: 1,
    many: 4,
    prepare,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await delivers(site);
        await site.gateway.kill9();
        await Bun.sleep(2_500);
        await deleteGroup(kafkaOf(site).cluster.bootstrap, "sluice-test-gateway");
        await site.start();
        await delivers(site);
      }
      return times;
    },
    also,
  },
  {
    name: "kafka-chain",
    says: "Gateway → Kafka → gateway: either, or the broker between them, `kill -9` by turns",
    site: { rate: 600, kafka: {} },
    few: 2,
    many: 15,
    prepare,
    async run(site, times) {
      central = await startGateway(centralEnv(site), site.newDataDir());
      const arrives = async () => {
        const before = (await central?.stats())?.ingest.accepted ?? 0;
        await until(async () => ((await central?.stats())?.ingest.accepted ?? 0) > before + 20, 60_000);
      };
      for (let i = 0; i < times; i++) {
        await arrives();
        if (i % 3 === 0) {
          await central.kill9();
          central = await startGateway(centralEnv(site), central.dataDir);
        } else if (i % 3 === 1) await site.killAndStart();
        else {
          await firstOf(site).end("SIGKILL");
          await firstOf(site).start();
        }
      }
      await arrives();
      return times;
    },
    async also(site, stats) {
      const [one] = stats;
      const problems = await also(site, stats);
      const there = central;
      if (there === undefined || one === undefined) return [...problems, "there was no second gateway"];
      const wanted = one.ingest.accepted;
      try {
        await until(async () => (await there.stats()).ingest.accepted >= wanted, 30_000);
        await until(async () => (await there.stats()).sinks["local"]?.waiting === 0, 30_000);
      } catch {
        problems.push(`the second gateway got ${(await there.stats()).ingest.accepted} of ${wanted} events`);
      }
      const { balanced, ingest } = await there.stats();
      if (!balanced) problems.push("the books of the second gateway do not balance");
      if (ingest.accepted !== wanted)
        problems.push(`the second gateway accepted ${ingest.accepted} of ${wanted} events`);
      await there.kill9();
      central = undefined;
      const rows = await localTables(() => `${there.dataDir}/local.db`).rows([]);
      const idOf = ({ payload: p }: (typeof rows)[number]) =>
        JSON.stringify([p["ts"], p["seq"], p["metrics"]]);
      const stored = rows.filter(({ reason }) => reason === null);
      if (stored.length !== wanted)
        problems.push(`the second gateway stored ${stored.length} of ${wanted} events`);
      if (new Set(stored.map(idOf)).size < wanted / 2)
        problems.push("what the second gateway stored is not what was sent");
      return problems;
    },
  },
];
