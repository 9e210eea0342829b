/**
 * Programs of others on the same load, if `--peers DIR` has their executables: from the broker into a table that has the columns and
 * indexes of ours as far as they fill them. Telegraf has its safest settings: a message is answered once it is in PostgreSQL. Bento
 * answers as it reads.
 *
 * They do less: nobody proves who he is, no token is blanked, nothing is spooled, and a message that comes twice is a row twice.
 */
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { endsWithUs } from "./process.ts";
import { newDir, rowsOf, type Subject, uniqueName } from "./subject.ts";

interface Peer {
  readonly name: string;
  readonly config: string;
  readonly words: (file: string) => string[];
  /** The number of a message, of a row of its table. */
  readonly seq: string;
  readonly tables: string;
  text(site: { readonly port: number; readonly url: string; readonly id: string }): string;
}

const columns = `id bigserial primary key, ingested_at timestamptz not null default now(), topic text not null,
  tenant_id text, device_id text, msg_type text`;
const index = "create index on events (ingested_at desc)";

const peers: readonly Peer[] = [
  {
    name: "telegraf",
    config: "telegraf.conf",
    words: (file) => ["--config", file],
    seq: "(value::json->>'seq')::int",
    tables: `create table events (${columns}, time timestamptz, value text not null); ${index}`,
    text: ({ port, url, id }) => `
[agent]
  interval = "1s"
  flush_interval = "100ms"
  flush_jitter = "0s"
  metric_batch_size = 5000
  metric_buffer_limit = 50000
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:${port}"]
  topics = ["tenant/+/device/+/+"]
  qos = 1
  client_id = "${id}"
  persistent_session = true
  max_undelivered_messages = 20000
  name_override = "events"
  data_format = "value"
  data_type = "string"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "tenant/+/device/+/+"
    tags = "_/tenant_id/_/device_id/msg_type"
[[outputs.postgresql]]
  connection = "${url}?sslmode=disable"
  timestamp_column_type = "timestamp with time zone"
`,
  },
  {
    name: "bento",
    config: "bento.yaml",
    words: (file) => ["-c", file],
    seq: "(value->>'seq')::int",
    tables: `create table events (${columns}, value jsonb not null); ${index}`,
    text: ({ port, url, id }) => `
http: { enabled: false }
logger: { level: ERROR }
input:
  mqtt:
    urls: ["tcp://127.0.0.1:${port}"]
    topics: ["tenant/+/device/+/+"]
    client_id: "${id}"
    qos: 1
    clean_session: false
output:
  sql_insert:
    driver: postgres
    dsn: "${url}?sslmode=disable"
    table: events
    columns: [topic, tenant_id, device_id, msg_type, value]
    args_mapping: |
      let parts = meta("mqtt_topic").split("/")
      root = [ meta("mqtt_topic"), $parts.index(1), $parts.index(3), $parts.index(4), content().string() ]
    max_in_flight: 4
    batching: { count: 1000, period: 50ms }
`,
  },
];

/** Those in `dir`; a word about the others. */
export function peersIn(dir: string): Subject[] {
  const has = ({ name }: Peer) => existsSync(join(dir, name));
  for (const { name } of peers.filter((peer) => !has(peer))) console.error(`no ${name} in ${dir}: left out`);
  return peers.filter(has).map((peer) => subjectOf(peer, join(dir, peer.name)));
}

function subjectOf(peer: Peer, file: string): Subject {
  return {
    name: peer.name,
    file,
    async start({ broker, server }) {
      const url = await server.createDatabase();
      const sql = postgres(url, { max: 1, onnotice() {} });
      await sql.unsafe(peer.tables);
      await sql.end();
      const config = join(newDir(), peer.config);
      mkdirSync(dirname(config), { recursive: true });
      writeFileSync(config, peer.text({ port: broker.port, url, id: uniqueName(peer.name) }));
      const spawnedMs = Date.now();
      const log = `${config}.log`;
      const output = openSync(log, "w");
      const child = Bun.spawn([file, ...peer.words(config)], { stdio: ["ignore", output, output] });
      endsWithUs(child.pid);
      const rows = rowsOf(url, "events", peer.seq);
      return {
        pids: [child.pid],
        spawnedMs,
        arrived(from, count) {
          if (child.exitCode !== null)
            throw new Error(`${peer.name} ended:\n${readFileSync(log, "utf8").slice(-2_000)}`);
          return rows.arrived(from, count);
        },
        async stop() {
          child.kill("SIGKILL");
          await child.exited;
          await rows.close();
        },
      };
    },
  };
}
