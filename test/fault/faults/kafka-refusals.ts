/**
 * Kafka says no: a right that is missing is waited for, a message that is too large becomes a dead letter, and a topic that takes
 * nothing at all is no fault of the messages.
 */
import { createHash } from "node:crypto";
import type { Stats } from "../../../src/admin/measurements.ts";
import { allow, configure, kafkaTestable } from "../../kit/kafka/client.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import { complaintsOfKafka } from "../kafka-side.ts";
import type { Site } from "../site.ts";
import { delivers, kafkaOf, sinks } from "./looks.ts";

const prepare = kafkaTestable;
const also = async (site: Site, stats: readonly Stats[]) =>
  complaintsOfKafka(kafkaOf(site), stats, await site.rows());

const large = 20_000;

/** Text that no compression makes small, in one message of 40. */
function withLongNote(n: number, text: string) {
  if (n % 40 !== 5) return null;
  const pieces = Array.from({ length: 400 }, (_, i) =>
    createHash("sha512").update(`${n} ${i}`).digest("hex"),
  );
  return { text: text.replace('"metrics":{', `"metrics":{"note":"${pieces.join("")}",`), expected: "event" };
}

/** Until the drain is in trouble for this reason, while PostgreSQL goes on. */
async function troubled(site: Site, words: RegExp): Promise<void> {
  await until(async () => words.test(String((await sinks(site))["kafka"]?.["trouble"])), 60_000);
  const before = (await sinks(site))["postgres"]?.delivered ?? 0;
  await until(async () => ((await sinks(site))["postgres"]?.delivered ?? 0) > before + 50, 60_000);
}

export const kafkaRefusals: readonly Fault[] = [
  {
    name: "kafka-acl",
    says: "Kafka: each right that the gateway needs is taken from it in turn, and given back",
    site: {
      kafka: {
        properties: [
          "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
          "allow.everyone.if.no.acl.found=true",
        ],
      },
    },
    few: 4,
    many: 4,
    prepare,
    async run(site, times) {
      const { cluster, topics } = kafkaOf(site);
      const id = "sluice-test-gateway";
      const rights = [
        ["topic", topics.validated],
        ["topic", topics.rejected],
        ["transactionalId", id],
        ["group", id],
      ] as const;
      for (const [kind, name] of rights.slice(0, times)) {
        await delivers(site);
        // Once somebody is named, nobody else may.
        await allow(cluster.bootstrap, "somebody", kind, name, ["READ", "WRITE"]);
        await troubled(site, /AUTHORIZATION|allow/);
        await allow(cluster.bootstrap, "ANONYMOUS", kind, name, ["READ", "WRITE"]);
        await delivers(site);
      }
      return Math.min(times, rights.length);
    },
    also,
  },
  {
    name: "kafka-too-large",
    says: "Kafka: messages larger than its topic takes become dead letters, the others go on",
    site: { kafka: {}, spoil: withLongNote, faults: {}, env: { MAX_PAYLOAD_BYTES: "100000" } },
    few: 3,
    many: 20,
    prepare,
    async run(site, times) {
      const { cluster, topics } = kafkaOf(site);
      const refused = async () => (await sinks(site))["kafka"]?.refused ?? 0;
      await configure(cluster.bootstrap, topics.validated, "max.message.bytes", String(large));
      await until(async () => (await refused()) >= times, 60_000);
      await delivers(site);
      return refused();
    },
    async also(site, stats) {
      const refused = stats.reduce((sum, one) => sum + (one.sinks["kafka"]?.refused ?? 0), 0);
      const rows = await site.rows();
      const notes = rows.filter(({ payload }) => JSON.stringify(payload).includes('"note":"')).length;
      return [
        ...(await complaintsOfKafka(kafkaOf(site), stats, rows, refused)),
        ...(refused <= notes ? [] : [`${refused} refused, of ${notes} that are large`]),
      ];
    },
  },
  {
    name: "kafka-topic-narrow",
    says: "Kafka: its topic takes nothing for a while (max.message.bytes), so that each message looks too large",
    site: { kafka: {} },
    few: 1,
    many: 4,
    prepare,
    async run(site, times) {
      const { cluster, topics } = kafkaOf(site);
      for (let i = 0; i < times; i++) {
        await delivers(site);
        // Room for the marker that ends a transaction, or Kafka could end none.
        await configure(cluster.bootstrap, topics.validated, "max.message.bytes", "150");
        await troubled(site, /max\.message\.bytes/);
        await configure(cluster.bootstrap, topics.validated, "max.message.bytes", "1048588");
        await delivers(site);
      }
      return times;
    },
    also,
  },
];
