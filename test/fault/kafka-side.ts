/** The Kafka of a site: brokers of its own, the two topics, and what an independent reader finds in them at the end. */
import type { Stats } from "../../src/admin/measurements.ts";
import { startKafka, type Kafka, type KafkaOptions } from "../kit/kafka/broker.ts";
import { newTopic, proxied, readTopic, type Read } from "../kit/kafka/client.ts";
import type { Proxy } from "../kit/proxy.ts";
import type { StoredRow } from "../kit/oracle.ts";

export interface KafkaSide {
  readonly cluster: Kafka;
  readonly line: Proxy & { readonly bootstrap: string };
  readonly topics: { readonly validated: string; readonly rejected: string };
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function openKafkaSide(options: KafkaOptions): Promise<KafkaSide> {
  const cluster = await startKafka(options);
  const line = await proxied(cluster.bootstrap);
  const copies = Math.min(options.brokers ?? 1, 2);
  const [validated, rejected] = await Promise.all([
    newTopic(cluster.bootstrap, { copies }, "iot_validated_data"),
    newTopic(cluster.bootstrap, { copies }, "iot_errors"),
  ]);
  return {
    cluster,
    line,
    topics: { validated, rejected },
    env: {
      // A second broker is reached past the proxy.
      KAFKA_BOOTSTRAP_SERVERS:
        copies > 1 ? cluster.brokers.map(({ port }) => `127.0.0.1:${port}`).join() : line.bootstrap,
      KAFKA_TIMEOUT_MS: "2000",
      KAFKA_TRANSACTION_TIMEOUT_MS: "5000",
    },
    async close() {
      await line.stop();
      await cluster.stop();
    },
  };
}

interface Value {
  readonly request_id: string;
  readonly device_id: string;
  readonly metadata: { readonly tenant_id: string; readonly seq?: number };
}

/**
 * Every event is in Kafka once and in order, every reject once, and nothing else. A sentence per thing that does not hold.
 * @param refused how many events Kafka was right to refuse
 */
export async function complaintsOfKafka(
  { cluster, topics }: KafkaSide,
  stats: readonly Stats[],
  rows: readonly StoredRow[],
  refused = 0,
): Promise<string[]> {
  const [events, rejects] = await Promise.all([
    readTopic(cluster.bootstrap, topics.validated),
    readTopic(cluster.bootstrap, topics.rejected),
  ]);
  const total = (of: (one: Stats) => number) => stats.reduce((sum, one) => sum + of(one), 0);
  const accepted = total(({ ingest }) => ingest.accepted);
  const rejected = total(({ ingest }) => Object.values(ingest.rejected).reduce((sum, n) => sum + n, 0));
  const delivered = total(({ sinks }) => sinks["kafka"]?.delivered ?? 0);
  const values = events.map(({ value }) => JSON.parse(value) as Value);
  const inKafka = values.map(
    ({ device_id, metadata }) => `${metadata.tenant_id}/${device_id}/${metadata.seq}`,
  );
  const known = new Set(inKafka);
  const inTables = rows
    .filter(({ reason }) => reason === null)
    .map(({ payload: p }) => `${String(p["tenant_id"])}/${String(p["device_id"])}/${String(p["seq"])}`);
  return [
    ...(events.length === accepted - refused
      ? []
      : [`${events.length} records of ${accepted} events, ${refused} refused`]),
    ...(rejects.length === rejected ? [] : [`${rejects.length} records of ${rejected} rejects`]),
    ...(delivered === accepted + rejected - refused
      ? []
      : [`kafka delivered ${delivered} of ${accepted + rejected}, ${refused} refused`]),
    ...(new Set(values.map(({ request_id }) => request_id)).size === events.length
      ? []
      : ["an event is in Kafka twice"]),
    ...(inKafka.sort().join() ===
    inTables
      .filter((event) => refused === 0 || known.has(event))
      .sort()
      .join()
      ? []
      : ["the events in Kafka are not those in the tables"]),
    ...disordered(events),
  ];
}

/** The last group of a request_id is the entry's place in the spool. */
function disordered(events: readonly Read[]): string[] {
  const last = new Map<string, string>();
  for (const { key, partition, value } of events) {
    const { request_id: id } = JSON.parse(value) as Value;
    const device = `${key} in ${partition}, ${id.slice(0, 23)}`;
    if (id < (last.get(device) ?? "")) return [`records of ${device} are out of order`];
    last.set(device, id);
  }
  return [];
}
