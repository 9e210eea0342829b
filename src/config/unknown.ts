/**
 * Finds names in the environment that are not settings but look as if somebody meant one: those of the services that
 * Sluice replaces, and near misses. A gateway that silently ran on its defaults would be worse than one that reports
 * them.
 */
import type { Env, Place, Written } from "./read.ts";

export interface Findings {
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
}

/** Settings of the replaced services that Sluice does not need, and why. */
const withoutNeed: Readonly<Record<string, string>> = {
  INGEST_WORKER_COUNT: "one process uses what the machine has",
  INGEST_QUEUE_SIZE: "the queue is on the disk, bounded by SPOOL_MAX_BYTES",
  MAX_BUFFER_SIZE: "the queue is on the disk, bounded by SPOOL_MAX_BYTES",
  BATCH_SIZE: "batches follow from what waits; for InfluxDB see INFLUX_BATCH_SIZE",
  FLUSH_INTERVAL_MS: "see SPOOL_LINGER_MS, and for InfluxDB INFLUX_FLUSH_INTERVAL_MS",
  PG_POOL_MIN: "connections are opened as needed",
  BUCKET_TTL_SECONDS: "rate limits are bounded by themselves",
  BUCKET_CLEANUP_INTERVAL: "rate limits are bounded by themselves",
  COUNTERS_ENABLED: "rejects are always counted",
  CERT_AUTH_ENABLED: "devices prove themselves by token, or by a certificate of BROKER_TLS_CA",
  METRIC_MAP_CACHE_TTL: "metrics are not renamed",
  METRIC_MAP_CACHE_SIZE: "metrics are not renamed",
  DELIVERY_WORKER_COUNT: "every sink has its own pace",
};

/** What other programs call a setting of ours. */
const namesElsewhere: Readonly<Record<string, string>> = {
  POSTGRES_URL: "DATABASE_URL",
  POSTGRESQL_URL: "DATABASE_URL",
  PG_URL: "DATABASE_URL",
  DB_URL: "DATABASE_URL",
  BROKER_URL: "MQTT_URL",
  MQTT_BROKER: "MQTT_URL",
  MQTT_BROKER_URL: "MQTT_URL",
  MQTT_SERVER: "MQTT_URL",
  MQTT_USER: "MQTT_USERNAME",
  MQTT_PASS: "MQTT_PASSWORD",
  INFLUX_HOST: "INFLUXDB_URL",
  INFLUXDB_HOST: "INFLUXDB_URL",
  KAFKA_BROKER: "KAFKA_BOOTSTRAP_SERVERS",
  KAFKA_BROKERS: "KAFKA_BOOTSTRAP_SERVERS",
};

/** Groups of names that one URL replaces. In what is printed, the password stays a name. */
const nowUrls = [
  {
    url: "MQTT_URL",
    names: ["MQTT_HOST", "MQTT_PORT"],
    suggestion: (env: Env) => `mqtt://${env["MQTT_HOST"] || "localhost"}:${env["MQTT_PORT"] || "1883"}`,
  },
  {
    url: "DATABASE_URL",
    names: ["PG_HOST", "PG_PORT", "PG_DB", "PG_USER", "PG_PASS"],
    suggestion: (env: Env) =>
      `postgres://${env["PG_USER"] || "iot"}:<PG_PASS>@${env["PG_HOST"] || "localhost"}:${env["PG_PORT"] || "5432"}/${env["PG_DB"] || "iotcloud"}`,
  },
];

/**
 * `known`: the names of all settings. `secrets`: those that may also be given as NAME_FILE. `written`: those that
 * stand in a file of settings. That file is Sluice's alone, so an unknown name in it is a mistake: what it was meant
 * to set is not set.
 */
export function unknownNames(
  env: Env,
  { known, secrets }: { readonly known: readonly string[]; readonly secrets: readonly string[] },
  written: Written,
): Findings {
  const mistakes: string[] = [];
  const warnings: string[] = [];
  const isSet = (name: string) => (env[name] ?? "").trim() !== "";
  for (const { url, names, suggestion } of nowUrls) {
    const set = names.filter((name) => isSet(name) && !known.includes(name));
    if (set.length === 0) continue;
    const read = isSet(url) || isSet(`${url}_FILE`);
    if (read) warnings.push(`${set.join(", ")}: not read, since ${url} is set; unset them`);
    else mistakes.push(`${set.join(", ")}: not read by Sluice; set ${url}=${suggestion(env)} instead`);
  }
  const handled = new Set([
    ...known,
    ...secrets.map((name) => `${name}_FILE`),
    ...nowUrls.flatMap(({ names }) => names),
  ]);
  for (const name of Object.keys(env).filter((n) => !handled.has(n) && isSet(n))) {
    const why = withoutNeed[name];
    const meant = why === undefined ? (namesElsewhere[name] ?? nearest(name, known)) : undefined;
    const place = written.get(name);
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    if (why !== undefined) warnings.push(`${name}: not needed (${why}); unset it`);
    else if (place !== undefined && !ofTheProcess.test(name))
      mistakes.push(`${name} (${placeText(place)}): not a setting${hint || "; remove it there"}`);
    else if (hint !== "") warnings.push(`${name}: not a setting${hint}`);
  }
  return { mistakes, warnings };
}

/**
 * Variables that change how any process runs (environ(7), systemd.exec(5), Bun's and TLS's own), and so may stand in
 * a file of settings.
 */
const ofTheProcess =
  /^(TZ|TZDIR|LANG|LANGUAGE|LC_\w+|PATH|HOME|USER|LOGNAME|SHELL|TERM|NO_COLOR|FORCE_COLOR|TMPDIR|TEMP|TMP|SSL_CERT_(FILE|DIR)|(https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY|(BUN|NODE|LD|MALLOC|GLIBC|XDG|UV)_\w+|(STATE|CREDENTIALS|RUNTIME|CACHE|LOGS|CONFIGURATION)_DIRECTORY|NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|INVOCATION_ID|FAKETIME\w*)$/;

const placeText = ({ path, line }: Place) => (line === undefined ? path : `${path}, line ${line}`);

/**
 * The one of those known, most of them settings, that a name was probably meant to be: at most one letter in five differs, ignoring case and
 * underscores.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  if (name.endsWith("_FILE") && known.includes(name.slice(0, -"_FILE".length))) return name.slice(0, -5);
  const plain = bare(name);
  return known
    .map((setting) => ({ setting, off: distance(plain, bare(setting)) }))
    .filter(({ setting, off }) => off <= Math.floor(bare(setting).length / 5))
    .toSorted((a, b) => a.off - b.off)[0]?.setting;
}

function bare(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "");
}

/** Levenshtein distance, in which two letters that changed places count as one (MQTT_ULR); names are short. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? (before[j - 2] ?? 0) + 1 : change;
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
