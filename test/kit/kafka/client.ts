/** What tests need from a broker: topics, and their contents by an independent reader (kcat, of librdkafka). */
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { API, Client, setLogger } from "kafka-ts";
import type { ProxiedConnection, Proxy } from "../proxy.ts";
import { startProxy } from "../proxy.ts";
import { until } from "../until.ts";
import { kafkaAvailable } from "./broker.ts";

export interface TopicOptions {
  readonly partitions?: number;
  readonly copies?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const kcat = Bun.which("kcat") ?? Bun.which("kafkacat") ?? "";
let topics = 0;

/** "" if the suites that read with kcat can run, else why not. */
export function kafkaTestable(): string {
  return kafkaAvailable() || (kcat === "" ? "no kcat (apt-get install kcat)" : "");
}

/** A topic that no other test has. */
export function newTopic(
  bootstrap: string,
  options: TopicOptions = {},
  name = `t${process.pid}-${++topics}`,
): Promise<string> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const configs = Object.entries(options.configs ?? {}).map(([key, value]) => ({ name: key, value }));
    await cluster.sendRequest(api.CREATE_TOPICS, {
      topics: [
        {
          name,
          numPartitions: options.partitions ?? 3,
          replicationFactor: options.copies ?? 1,
          assignments: [],
          configs,
        },
      ],
      timeoutMs: 10_000,
      validateOnly: false,
    });
    await leading(cluster, api, name, 1);
    return name;
  });
}

export function addPartitions(bootstrap: string, name: string, count: number): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    await cluster.sendRequest(api.CREATE_PARTITIONS, {
      topics: [{ name, count, assignments: null }],
      timeoutMs: 10_000,
      validateOnly: false,
    });
    await leading(cluster, api, name, count);
  });
}

/** Named as leader, and leading: a broker may take a moment from one to the other. */
async function leading(cluster: Cluster, api: typeof API, name: string, count: number): Promise<void> {
  await until(async () => {
    const { topics: found } = await cluster.sendRequest(api.METADATA, { topics: [{ id: null, name }] });
    for (const { leaderId, partitionIndex } of found[0]?.partitions ?? []) {
      const partitions = [{ partitionIndex, currentLeaderEpoch: -1, timestamp: -1n }];
      const asked = { replicaId: -1, isolationLevel: 0, topics: [{ name, partitions }] };
      await cluster.sendRequestToNode(leaderId)(api.LIST_OFFSETS, asked);
    }
    return (found[0]?.partitions.length ?? 0) >= count;
  });
}

export function deleteTopic(bootstrap: string, name: string): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    await cluster.sendRequest(api.DELETE_TOPICS, { topics: [{ name, topicId: null }], timeoutMs: 10_000 });
  });
}

type Cluster = ReturnType<Client["createCluster"]>;

async function withCluster<T>(
  bootstrap: string,
  work: (by: { cluster: Cluster; api: typeof API }) => Promise<T>,
): Promise<T> {
  setLogger(quiet);
  const [host = "", port] = bootstrap.split(":");
  const cluster = new Client({
    clientId: "test",
    bootstrapServers: [{ host, port: Number(port) }],
  }).createCluster();
  await until(() => cluster.connect().then(() => true));
  try {
    return await until(() => work({ cluster, api: API }));
  } finally {
    await cluster.disconnect();
  }
}

export interface Read {
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: string;
  readonly value: string;
}

/**
 * All committed records of a topic, by kcat. A commit is answered before its markers stand in every partition, and kcat would end
 * before them: waits until no transaction is open.
 */
export async function readTopic(bootstrap: string, topic: string): Promise<Read[]> {
  await settled(bootstrap, topic);
  const format = String.raw`%p %o %T %k %s\n`;
  const args = ["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"];
  const child = Bun.spawn(
    [kcat, ...args, "-X", "isolation.level=read_committed", "-X", "fetch.wait.max.ms=10", "-f", format],
    {
      stderr: "pipe",
    },
  );
  const [text, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`kcat: ${error}`);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, partition, offset, time, key = "", value = ""] =
        /^(\d+) (\d+) (-?\d+) (\S*) (.*)$/s.exec(line) ?? [];
      return { partition: Number(partition), offset: Number(offset), timestampMs: Number(time), key, value };
    });
}

function settled(bootstrap: string, name: string): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const { topics: found } = await cluster.sendRequest(api.METADATA, { topics: [{ id: null, name }] });
    for (const { leaderId, partitionIndex } of found[0]?.partitions ?? []) {
      const partitions = [{ partitionIndex, currentLeaderEpoch: -1, timestamp: -1n }];
      const endOf = async (isolationLevel: number) => {
        const asked = { replicaId: -1, isolationLevel, topics: [{ name, partitions }] };
        const { topics: ends } = await cluster.sendRequestToNode(leaderId)(api.LIST_OFFSETS, asked);
        return ends[0]?.partitions[0]?.offset;
      };
      if ((await endOf(1)) !== (await endOf(0))) throw new Error(`a transaction is open in ${name}`);
    }
  });
}

/**
 * A proxy before a broker: what the broker says of its own address names the proxy instead.
 * @param produceMax the newest Produce that it offers; its own if absent
 */
export async function proxied(
  bootstrap: string,
  produceMax?: number,
): Promise<Proxy & { readonly bootstrap: string }> {
  const port = Number(bootstrap.split(":")[1]);
  const proxy = await startProxy({ port });
  const known = new WeakSet<ProxiedConnection>();
  proxy.onAnswer((piece: Buffer, connection: ProxiedConnection) => {
    // The first answer lists the versions of each request: Produce first, behind length, id, error and count.
    if (produceMax !== undefined && !known.has(connection)) piece.writeInt16BE(produceMax, 15);
    known.add(connection);
    const host = "127.0.0.1";
    for (let at = piece.indexOf(host); at >= 0; at = piece.indexOf(host, at + 1)) {
      const behind = at + host.length;
      if (behind + 4 <= piece.length && piece.readInt32BE(behind) === port)
        piece.writeInt32BE(proxy.port, behind);
    }
  });
  return { ...proxy, bootstrap: `127.0.0.1:${proxy.port}` };
}

export async function produceByKcat(
  bootstrap: string,
  topic: string,
  records: readonly { readonly key: string; readonly value: string }[],
  more: readonly string[] = [],
): Promise<void> {
  const child = Bun.spawn([kcat, "-P", "-b", bootstrap, "-t", topic, "-K", "\t", ...more], {
    stdin: "pipe",
    stderr: "pipe",
  });
  await child.stdin.write(records.map(({ key, value }) => `${key}\t${value}\n`).join(""));
  await child.stdin.end();
  if ((await child.exited) !== 0) throw new Error(`kcat: ${await child.stderr.text()}`);
}

/** As if its offsets had expired. */
export function deleteGroup(bootstrap: string, group: string): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const { coordinators } = await cluster.sendRequest(api.FIND_COORDINATOR, { keyType: 0, keys: [group] });
    await cluster.sendRequestToNode(coordinators[0]?.nodeId ?? 1)(api.DELETE_GROUPS, {
      groupsNames: [group],
    });
  });
}

const resources = { topic: 2, group: 3, transactionalId: 5 } as const;
const rights = { READ: 3, WRITE: 4, DESCRIBE: 8 } as const;

/** Adds entries to the access list, and waits until the broker goes by them: its controller answers sooner. */
export function allow(
  bootstrap: string,
  user: string,
  kind: keyof typeof resources,
  name: string,
  what: readonly (keyof typeof rights)[],
): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const creations = what.map((right) => ({
      resourceType: resources[kind],
      resourceName: name,
      resourcePatternType: 3,
      principal: `User:${user}`,
      host: "*",
      operation: rights[right],
      permissionType: 3,
    }));
    await cluster.sendRequest(api.CREATE_ACLS, { creations });
    const filter = { resourceTypeFilter: resources[kind], resourceNameFilter: name, patternTypeFilter: 3 };
    const any = { principalFilter: `User:${user}`, hostFilter: null, operation: 1, permissionType: 1 };
    await until(async () => {
      const { resources: found } = await cluster.sendRequest(api.DESCRIBE_ACLS, { ...filter, ...any });
      const held = new Set(found.flatMap(({ acls }) => acls.map(({ operation }) => operation)));
      return what.every((right) => held.has(rights[right]));
    });
  });
}

/** Changes a setting of a topic. */
export function configure(bootstrap: string, topic: string, name: string, value: string): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const configs = [{ name, configOperation: 0, value }];
    await cluster.sendRequest(api.INCREMENTAL_ALTER_CONFIGS, {
      resources: [{ resourceType: 2, resourceName: topic, configs }],
      validateOnly: false,
    });
  });
}

/** Bounds what this client may send, or fetch, in bytes per second. */
export function limit(
  bootstrap: string,
  what: "producer" | "consumer",
  entityName: string,
  bytes: number,
): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const ops = [{ key: `${what}_byte_rate`, value: bytes, remove: false }];
    const entries = [{ entity: [{ entityType: "client-id", entityName }], ops }];
    await cluster.sendRequest(api.ALTER_CLIENT_QUOTAS, { entries, validateOnly: false });
  });
}

/** For SCRAM-SHA-256. */
export function setPassword(bootstrap: string, name: string, password: string): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const [salt, iterations] = [randomBytes(16), 4096];
    const saltedPassword = pbkdf2Sync(password, salt, iterations, 32, "sha256");
    const upsertions = [{ name, mechanism: 1, iterations, salt, saltedPassword }];
    await cluster.sendRequest(api.ALTER_USER_SCRAM_CREDENTIALS, { deletions: [], upsertions });
  });
}

/** As if retention had taken all before this offset. */
export function deleteRecords(
  bootstrap: string,
  name: string,
  partition: number,
  before: number,
): Promise<void> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const { topics: found } = await cluster.sendRequest(api.METADATA, { topics: [{ id: null, name }] });
    const leader =
      found[0]?.partitions.find(({ partitionIndex }) => partitionIndex === partition)?.leaderId ?? 1;
    const partitions = [{ partitionIndex: partition, offset: BigInt(before) }];
    await cluster.sendRequestToNode(leader)(api.DELETE_RECORDS, {
      topics: [{ name, partitions }],
      timeoutMs: 5_000,
    });
  });
}

/** The sum of what a group has committed of a topic. */
export function committed(bootstrap: string, groupId: string, name: string): Promise<number> {
  return withCluster(bootstrap, async ({ cluster, api }) => {
    const { topics: found } = await cluster.sendRequest(api.METADATA, { topics: [{ id: null, name }] });
    const partitionIndexes = (found[0]?.partitions ?? []).map(({ partitionIndex }) => partitionIndex);
    const wanted = [{ name, topicId: found[0]?.topicId ?? "", partitionIndexes }];
    const { coordinators } = await cluster.sendRequest(api.FIND_COORDINATOR, { keyType: 0, keys: [groupId] });
    const asked = { groups: [{ groupId, topics: wanted }], requireStable: false };
    const answer = await cluster.sendRequestToNode(coordinators[0]?.nodeId ?? 1)(api.OFFSET_FETCH, asked);
    const offsets = (answer.groups[0]?.topics ?? []).flatMap(({ partitions }) => partitions);
    return offsets.reduce((sum, { committedOffset }) => sum + Math.max(0, Number(committedOffset)), 0);
  });
}
