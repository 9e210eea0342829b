/**
 * The settings of the InfluxDB sink.
 */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { exampleOf, nameFault, retentionSeconds } from "./database.ts";
import { lastGood, readTls, tlsMistakes } from "../../core/net/pem.ts";
import { oneOf, integer, flag, optionalString, string, urlOf, type Values } from "../../core/settings.ts";
import { sinkSettings } from "../../core/sink.ts";

const url = urlOf(["http", "https", "file"])
  .refine(
    (s) => !URL.canParse(s) || new URL(s).username + new URL(s).password === "",
    "a URL without a user: give INFLUXDB_USERNAME and INFLUXDB_PASSWORD",
  )
  .refine(
    (s) => !/[?#]/.test(s),
    "a URL without a query: give INFLUXDB_TOKEN, or INFLUXDB_USERNAME and INFLUXDB_PASSWORD",
  )
  .refine(
    (s) => !/^file:/i.test(s) || isDirectory(s),
    "file:// and a path that begins with /, such as file:///var/lib/sluice/lines",
  );

/** Of file://lines the path would be none, and of file:lines another one. */
function isDirectory(said: string): boolean {
  try {
    return /^file:\/(\/(localhost)?\/)?[^/]/.test(said) && fileURLToPath(said) !== "";
  } catch {
    return false;
  }
}

/** The message types of INFLUX_TABLES. */
export function tablesOf(said: string): string[] {
  return said.split(",").map((name) => name.trim());
}

const common = sinkSettings({
  prefix: "INFLUX",
  title: "InfluxDB",
  timeoutMs: 10_000,
  concurrency: { default: 4, per: "database" },
  whenFull: "hold",
});

export const influxSettings = {
  url: optionalString({
    name: "INFLUXDB_URL",
    unit: "url",
    help: "InfluxDB server, or file:///directory for files of line protocol; without it there is no InfluxDB sink.",
    check: url,
  }),
  token: optionalString({
    name: "INFLUXDB_TOKEN",
    secret: true,
    help: "Token of InfluxDB 3 or 2.",
    check: z.string().regex(/^[!-~]+$/, "letters, digits and signs, without spaces"),
  }),
  username: optionalString({
    name: "INFLUXDB_USERNAME",
    help: "User, if the server wants a password (InfluxDB 1).",
  }),
  password: optionalString({
    name: "INFLUXDB_PASSWORD",
    secret: true,
    help: "Password of INFLUXDB_USERNAME.",
  }),
  tlsCa: optionalString({
    name: "INFLUXDB_TLS_CA",
    unit: "path",
    help: "PEM file of the CA that signed the server's certificate (absent: those that this host trusts).",
  }),
  org: string({
    name: "INFLUXDB_ORG",
    default: "",
    help: "Name or id of the organization, which InfluxDB 2 wants.",
  }),
  api: oneOf({
    name: "INFLUXDB_API",
    default: "auto",
    words: ["auto", "v3", "v2", "v1", "questdb", "victoriametrics", "file"],
    help: "Which write interface the server has; auto asks it, and finds InfluxDB only. With questdb and victoriametrics the tenant is a tag and a line sent again is stored twice.",
  }),
  database: string({
    name: "INFLUXDB_DATABASE",
    default: "telemetry_{tenant_id}",
    help: "Database (bucket) per tenant; without {tenant_id} all tenants share it and the tenant is a tag (InfluxDB 3 Core holds 5 databases).",
    check: z
      .string()
      .regex(/^[^{}]*(\{tenant_id\}[^{}]*)?$/, "a name with {tenant_id} in it once, or not at all")
      .min(1),
  }),
  writeEnabled: flag({
    name: "INFLUXDB_WRITE_ENABLED",
    default: true,
    help: "0 turns writing to InfluxDB off.",
  }),
  batchSize: integer({
    name: "INFLUX_BATCH_SIZE",
    default: 500,
    unit: "lines",
    min: 1,
    max: 10_000,
    help: "A database with this many lines waiting is written within 50 ms; behind a backlog a batch grows to 10,000.",
  }),
  flushIntervalMs: integer({
    name: "INFLUX_FLUSH_INTERVAL_MS",
    default: 1000,
    unit: "ms",
    max: 3_600_000,
    help: "Fewer lines than INFLUX_BATCH_SIZE wait this long.",
  }),
  concurrency: common.concurrency,
  timeoutMs: common.timeoutMs,
  tables: string({
    name: "INFLUX_TABLES",
    default: "telemetry,heartbeat",
    unit: "message types",
    help: "Which message types are sent, separated by commas; each is a table of its own.",
    check: z
      .string()
      .refine(
        (said) => tablesOf(said).every((name) => /^[A-Za-z][\w.-]*$/.test(name)),
        "names that begin with a letter, separated by commas",
      ),
  }),
  integerFields: string({
    name: "INFLUX_INTEGER_FIELDS",
    default: "seq,rssi_dbm",
    unit: "names",
    help: "Fields written as integers, separated by commas; every other number is a float.",
  }),
  timeDistanceMaxDays: integer({
    name: "INFLUX_TIME_DISTANCE_MAX_DAYS",
    default: 366,
    unit: "days",
    max: 200_000,
    help: "A reading whose time lies further from its arrival becomes a dead letter, for scattered times open a shard each; 0: no bound.",
  }),
  onCollision: oneOf({
    name: "INFLUX_ON_COLLISION",
    default: "shift",
    words: ["shift", "keep"],
    help: "A second, different reading of a device at one time: shift moves it by 1 ns (1 µs in QuestDB, 1 ms in VictoriaMetrics), keep lets it overwrite the first.",
  }),
  retention: optionalString({
    name: "INFLUX_RETENTION",
    unit: "30d | 12h | 4w | forever",
    help: "Creates a missing database before its first write, to keep data this long; without it InfluxDB 3 creates it, to keep data for ever.",
    check: z
      .string()
      .regex(/^([1-9]\d*[hdw]|forever)$/, "hours, days or weeks such as 12h, 30d or 4w, or forever")
      // Beyond 64 bits of nanoseconds InfluxDB 3 keeps something else, such as 25 minutes.
      .refine(
        (s) => retentionSeconds(s) * 1_000_000_000 <= 2 ** 63,
        "at most 106751d, 15250w or 2562047h, or forever",
      ),
  }),
  fileBytesMax: integer({
    name: "INFLUX_FILE_MAX_BYTES",
    default: 67_108_864,
    unit: "bytes",
    min: 1024,
    help: "A file of lines is closed and compressed at this size.",
  }),
  fileAgeSeconds: integer({
    name: "INFLUX_FILE_MAX_AGE_SECONDS",
    default: 3600,
    unit: "seconds",
    min: 1,
    help: "A file of lines is closed and compressed at this age.",
  }),
  whenFull: common.whenFull,
};

const tlsNames = { ca: "INFLUXDB_TLS_CA" };

/** What is wrong with these settings taken together, one sentence per mistake. */
export function influxMistakes(settings: Values<typeof influxSettings>, isAsked = true): string[] {
  const { url: where, tlsCa, database, api } = settings;
  const isFile = where?.startsWith("file:") === true;
  if (isAsked && where !== undefined && api !== "auto" && (api === "file") !== isFile)
    return [
      `INFLUXDB_API=${api} does not fit INFLUXDB_URL: file wants file:///directory, the others a server`,
    ];
  // What the server is, which may want more of a name, is known once it is asked.
  const kind = isFile ? "file" : api === "auto" ? "v1" : api;
  const fault = where === undefined ? null : nameFault(kind, exampleOf(database));
  if (fault !== null) return [`INFLUXDB_DATABASE=${database}: ${fault}`];
  if (tlsCa !== undefined && where !== undefined && !where.startsWith("https:"))
    return ["INFLUXDB_TLS_CA needs an INFLUXDB_URL that begins with https://"];
  return tlsMistakes(tlsNames, { ca: tlsCa });
}

/** `fetch` with the CA of these settings. Its file is read at each request, so that it can be renewed without a restart. */
export function fetchWith({ tlsCa }: Values<typeof influxSettings>): typeof globalThis.fetch {
  if (tlsCa === undefined) return globalThis.fetch;
  const tls = lastGood(() => readTls(tlsNames, { ca: tlsCa }));
  const trusting = (where: string | URL | Request, init?: RequestInit) =>
    globalThis.fetch(where, { ...init, tls: tls() });
  return Object.assign(trusting, globalThis.fetch);
}
