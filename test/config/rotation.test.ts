/**
 * Files that settings name: a file that cannot be used is a mistake that names its setting, and a renewed one is
 * picked up while the gateway runs.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import postgres from "postgres";
import { type Config, loadConfig } from "../../src/config/index.ts";
import { allSettings, tables } from "../../src/config/tables.ts";
import { systemClock } from "../../src/core/clock.ts";
import { explain, silentLog } from "../../src/core/log/log.ts";
import type { Settings } from "../../src/core/settings.ts";
import { openPostgres } from "../../src/store/postgres/postgres-client.ts";
import { startHttpServer } from "../../src/http/server.ts";
import { rotation, takeAnew } from "../../src/config/rotation.ts";
import { fetchWith, influxSettings } from "../../src/sink/influx/settings.ts";
import { brokerSettings } from "../../src/source/broker/settings.ts";
import { openBrokerSource } from "../../src/source/broker/source.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { postgresAvailable, sharedPostgres, startPostgres } from "../kit/postgres.ts";
import { mqttSource } from "../kit/mqttsource.ts";
import { fakeIntake, recordingLog, settingsOf, until } from "../kit/source.ts";
import { type Certificates, makeCertificates } from "../kit/tls.ts";
import { fakeView } from "../kit/view.ts";

let dir: string;
let made: Certificates;
let others: Certificates;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "sluice-rotation-"));
  [made, others] = [makeCertificates(), makeCertificates()];
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
  made.remove();
  others.remove();
});
const ends = endsAfterEach();

let files = 0;
function file(text: string | Buffer): string {
  const path = join(dir, `f${++files}`);
  writeFileSync(path, text);
  return path;
}

const base = () => ({ DATA_DIR: join(dir, "data"), GATEWAY_ID: "g1" });

function configOf(env: Record<string, string>) {
  const loaded = loadConfig({ ...base(), ...env });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  return loaded.config;
}

const kafkaTls = { KAFKA_BOOTSTRAP_SERVERS: "k:9092", KAFKA_TLS: "1" };

/** Setting → an environment in which it is the only mistake, if the file is one. */
const tlsFiles: Readonly<Record<string, (path: string) => Record<string, string>>> = {
  MQTT_TLS_CA: (path) => ({ MQTT_URL: "mqtts://b", MQTT_TLS_CA: path }),
  MQTT_TLS_CERT: (path) => ({ MQTT_URL: "mqtts://b", MQTT_TLS_CERT: path, MQTT_TLS_KEY: made.clientKey }),
  MQTT_TLS_KEY: (path) => ({ MQTT_URL: "mqtts://b", MQTT_TLS_CERT: made.clientCert, MQTT_TLS_KEY: path }),
  BROKER_TLS_CERT: (path) => ({
    BROKER_TLS_LISTEN: "127.0.0.1:0",
    BROKER_TLS_CERT: path,
    BROKER_TLS_KEY: made.serverKey,
  }),
  BROKER_TLS_KEY: (path) => ({
    BROKER_TLS_LISTEN: "127.0.0.1:0",
    BROKER_TLS_CERT: made.serverCert,
    BROKER_TLS_KEY: path,
  }),
  BROKER_TLS_CA: (path) => ({
    BROKER_TLS_LISTEN: "127.0.0.1:0",
    BROKER_TLS_CERT: made.serverCert,
    BROKER_TLS_KEY: made.serverKey,
    BROKER_TLS_CA: path,
  }),
  INGEST_TLS_CERT: (path) => ({
    INGEST_LISTEN: "127.0.0.1:0",
    INGEST_TLS_CERT: path,
    INGEST_TLS_KEY: made.serverKey,
  }),
  INGEST_TLS_KEY: (path) => ({
    INGEST_LISTEN: "127.0.0.1:0",
    INGEST_TLS_CERT: made.serverCert,
    INGEST_TLS_KEY: path,
  }),
  KAFKA_TLS_CA: (path) => ({ ...kafkaTls, KAFKA_TLS_CA: path }),
  KAFKA_TLS_CERT: (path) => ({ ...kafkaTls, KAFKA_TLS_CERT: path, KAFKA_TLS_KEY: made.clientKey }),
  KAFKA_TLS_KEY: (path) => ({ ...kafkaTls, KAFKA_TLS_CERT: made.clientCert, KAFKA_TLS_KEY: path }),
  REDIS_TLS_CA: (path) => ({ REDIS_URL: "rediss://r", REDIS_TLS_CA: path }),
  REDIS_TLS_CERT: (path) => ({
    REDIS_URL: "rediss://r",
    REDIS_TLS_CERT: path,
    REDIS_TLS_KEY: made.clientKey,
  }),
  REDIS_TLS_KEY: (path) => ({
    REDIS_URL: "rediss://r",
    REDIS_TLS_CERT: made.clientCert,
    REDIS_TLS_KEY: path,
  }),
  INFLUXDB_TLS_CA: (path) => ({ INFLUXDB_URL: "https://i", INFLUXDB_TLS_CA: path }),
  "DATABASE_URL sslrootcert": (path) => ({ DATABASE_URL: `postgres://h/d?sslrootcert=${path}` }),
  "DATABASE_URL sslcert": (path) => ({
    DATABASE_URL: `postgres://h/d?sslcert=${path}&sslkey=${made.clientKey}`,
  }),
  "DATABASE_URL sslkey": (path) => ({
    DATABASE_URL: `postgres://h/d?sslcert=${made.clientCert}&sslkey=${path}`,
  }),
};

const broken: Readonly<Record<string, () => string>> = {
  missing: () => join(dir, "nothing"),
  "below a file": () => join(file("x"), "below"),
  unreadable: () => "/proc/self/mem",
  empty: () => file(""),
  "a directory": () => dir,
  "not PEM": () => file("hello\n"),
  binary: () => file(Buffer.from([0x30, 0x82, 1, 2, 0xff, 0])),
  "cut off": () => file(readFileSync(made.serverCert, "utf8").slice(0, 200)),
  damaged: () =>
    file(
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ),
  "of another": () => others.otherCa,
};

describe.each(Object.keys(tlsFiles))("%s", (setting) => {
  test.each(Object.keys(broken))("%s: one mistake that names it", (how) => {
    // Any certificate is a CA, as far as can be known without a connection.
    if (how === "of another" && /CA|rootcert/.test(setting)) return;
    const loaded = loadConfig({ ...base(), ...tlsFiles[setting]?.(broken[how]?.() ?? "") });
    const mistakes = "mistakes" in loaded ? loaded.mistakes : [];
    expect(mistakes).toHaveLength(1);
    for (const word of setting.split(" ")) expect(mistakes[0]).toContain(word.replace("_KEY", "_"));
  });

  test("a good file is no mistake", () => {
    const isServer = /^(BROKER|INGEST)/.test(setting);
    const key = isServer ? made.serverKey : made.clientKey;
    const good = /KEY|key/.test(setting) ? key : isServer ? made.serverCert : made.clientCert;
    expect(loadConfig({ ...base(), ...tlsFiles[setting]?.(good) })).toHaveProperty("config");
  });
});

test("a certificate whose kind of key TLS does not know is one mistake that names it", () => {
  const [cert, key] = [join(dir, "p224.crt"), join(dir, "p224.key")];
  const p224 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp224r1", "-nodes", "-keyout", key];
  Bun.spawnSync(["openssl", "req", "-x509", "-subj", "/CN=localhost", ...p224, "-out", cert]);
  const env = { INGEST_LISTEN: "127.0.0.1:0", INGEST_TLS_CERT: cert, INGEST_TLS_KEY: key };
  expect(loadConfig({ ...base(), ...env })).toMatchObject({
    mistakes: [expect.stringMatching(/^INGEST_TLS_CERT: TLS knows no key of the kind/)],
  });
});

describe.each(allSettings.filter(({ secret }) => secret).map(({ name }) => name))("%s_FILE", (name) => {
  test.each(["missing", "below a file", "unreadable", "empty", "a directory"])(
    "%s: one mistake that names it",
    (how) => {
      const loaded = loadConfig({ ...base(), [`${name}_FILE`]: broken[how]?.() });
      expect("mistakes" in loaded ? loaded.mistakes : []).toEqual([expect.stringContaining(`${name}_FILE=`)]);
    },
  );
});

/**
 * Secrets that are not free text, or make sense only beside others: setting → two values, and what stands beside
 * them.
 */
const pairs: Readonly<Record<string, readonly [string, string, Record<string, string>?]>> = {
  ADMIN_TOKEN: ["sixteen-letters-1", "sixteen-letters-2"],
  DATABASE_URL: ["postgres://u:one@h/d", "postgres://u:two@h/d"],
  REDIS_URL: ["redis://:one@h:6379", "redis://:two@h:6379"],
};

/** Every secret there is, whatever sink or source it belongs to. */
test.each(allSettings.filter(({ secret }) => secret).map(({ name }) => name))(
  "%s_FILE: what is written into it later is in force without a restart",
  (name) => {
    const [first, second, beside = {}] = pairs[name] ?? ["one-of-sixteen-letters", "two-of-sixteen-letters"];
    const path = file(`${first}\n`);
    const env = { ...base(), ...beside, [`${name}_FILE`]: path };
    const config = configOf(env);
    const inForce = () => {
      const [part, table] = Object.entries<Settings>(tables).find(([, rows]) =>
        Object.values(rows).some((row) => row.name === name),
      ) ?? ["", {}];
      const key = Object.keys(table).find((each) => table[each]?.name === name) ?? "";
      return (config[part as keyof Config] as Readonly<Record<string, unknown>>)[key];
    };
    expect(inForce()).toBe(first);
    writeFileSync(path, second);
    rotation(config, () => loadConfig(env), silentLog)();
    expect(inForce()).toBe(second);
  },
);

test("a changed secret in a file is picked up in place; an invalid one is reported once, and the old one stays", () => {
  const token = file("a-token-of-sixteen\n");
  const password = file("old");
  const env = { ...base(), ADMIN_TOKEN_FILE: token, MQTT_URL: "mqtt://b", MQTT_PASSWORD_FILE: password };
  const config = configOf(env);
  const { log, lines } = recordingLog();
  let taken = 0;
  const readAgain = rotation(
    config,
    () => loadConfig(env),
    log,
    () => taken++,
  );
  readAgain();
  expect([lines, taken]).toEqual([[], 0]);

  writeFileSync(password, "new\n");
  readAgain();
  readAgain();
  expect(taken).toBe(1);
  expect(config.mqtt.password).toBe("new");
  expect(lines.at(-1)).toMatchObject({ settings: ["MQTT_PASSWORD"] });

  writeFileSync(token, "short");
  writeFileSync(password, "newer");
  readAgain();
  readAgain();
  expect([config.mqtt.password, config.http.adminToken]).toEqual(["new", "a-token-of-sixteen"]);
  expect(lines.filter(({ msg }) => msg.includes("not valid any more"))).toHaveLength(1);
  expect(JSON.stringify(lines)).not.toContain('short"');

  writeFileSync(token, "another-token-of-sixteen");
  readAgain();
  expect([config.mqtt.password, config.http.adminToken]).toEqual(["newer", "another-token-of-sixteen"]);
});

test("a secret that is new or gone waits for a restart: without ADMIN_TOKEN /admin would be open where the gateway listens until then", () => {
  const mqtt = { MQTT_URL: "mqtt://b", MQTT_PASSWORD: "old" };
  const config = configOf({ ...mqtt, HTTP_LISTEN: "0.0.0.0:8080", ADMIN_TOKEN: "a-token-of-sixteen" });
  const { log, lines } = recordingLog();
  const next = { ...base(), ...mqtt, MQTT_PASSWORD: "new", READ_TOKEN: "another-token-of-sixteen" };
  takeAnew(config, loadConfig(next), log);
  expect(config.http).toMatchObject({ adminToken: "a-token-of-sixteen", readToken: undefined });
  expect(config.mqtt.password).toBe("new");
  expect(lines).toMatchObject([
    { taken: ["MQTT_PASSWORD"] },
    { settings: ["HTTP_LISTEN", "ADMIN_TOKEN", "READ_TOKEN"] },
  ]);
});

test("while nothing can be read, what is in force stays, and that is reported once", () => {
  const { log, lines } = recordingLog();
  const readAgain = rotation(
    configOf({}),
    () => {
      throw new Error("EMFILE: too many open files");
    },
    log,
  );
  readAgain();
  readAgain();
  expect(lines).toMatchObject([{ mistakes: ["EMFILE: too many open files"] }]);
});

test("HTTP takes a renewed ADMIN_TOKEN and refuses the old one", async () => {
  const settings = { listen: "127.0.0.1:0", adminToken: "the-first-token-x", readToken: undefined };
  const server = startHttpServer({
    settings,
    view: fakeView().view,
    auditFile: join(dir, "audit"),
    clock: systemClock,
    log: silentLog,
  });
  ends.push(() => server.stop());
  const ask = async (token: string) =>
    (await fetch(`http://${server.address}/admin/rejects`, { headers: { authorization: `Bearer ${token}` } }))
      .status;
  expect([await ask("the-first-token-x"), await ask("the-second-token-x")]).toEqual([200, 401]);
  settings.adminToken = "the-second-token-x";
  expect([await ask("the-first-token-x"), await ask("the-second-token-x")]).toEqual([401, 200]);
});

test("InfluxDB's CA is read at each request; a broken file changes nothing", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: readFileSync(made.serverCert), key: readFileSync(made.serverKey) },
    fetch: () => new Response("hello"),
  });
  ends.push(() => server.stop(true));
  const ca = file(readFileSync(made.otherCa));
  const fetch = fetchWith(
    settingsOf(influxSettings, { INFLUXDB_URL: "https://localhost", INFLUXDB_TLS_CA: ca }),
  );
  const ask = () =>
    fetch(`https://localhost:${server.port}/`, { keepalive: false }).then((answer) => answer.text(), String);
  expect(await ask()).toContain("certificate");
  writeFileSync(ca, readFileSync(made.ca));
  expect(await ask()).toBe("hello");
  writeFileSync(ca, "half");
  expect(await ask()).toBe("hello");
});

test("the embedded broker shows a renewed certificate, and goes on with the old one while the new one is half written", async () => {
  const cert = file(readFileSync(made.serverCert));
  const key = file(readFileSync(made.serverKey));
  const settings = settingsOf(brokerSettings, {
    BROKER_LISTEN: "127.0.0.1:0",
    BROKER_TLS_LISTEN: "127.0.0.1:0",
    BROKER_TLS_CERT: cert,
    BROKER_TLS_KEY: key,
  });
  const broker = openBrokerSource({ settings, clock: systemClock, log: silentLog });
  await broker.start(fakeIntake(() => broker));
  ends.push(() => broker.close());
  const trusts = (ca: string) =>
    new Promise<boolean>((resolve) => {
      const port = broker.tlsAddress()?.port ?? 0;
      const socket = connect(
        { port, host: "localhost", servername: "localhost", ca: readFileSync(ca) },
        () => {
          resolve(true);
          socket.destroy();
        },
      );
      socket.on("error", () => resolve(false));
    });
  expect([await trusts(made.ca), await trusts(others.ca)]).toEqual([true, false]);
  writeFileSync(cert, readFileSync(others.serverCert));
  broker.renewTls();
  expect([await trusts(made.ca), await trusts(others.ca)]).toEqual([true, false]);
  writeFileSync(key, readFileSync(others.serverKey));
  broker.renewTls();
  expect([await trusts(made.ca), await trusts(others.ca)]).toEqual([false, true]);
});

describe.skipIf(!mosquittoAvailable())("with mosquitto (skipped if it is not installed)", () => {
  test("the MQTT client takes a renewed password and CA at its next try, and keeps the CA if its file is broken", async () => {
    const broker = await startMosquitto({
      users: { gate: "new" },
      listener: [`cafile ${made.ca}`, `certfile ${made.serverCert}`, `keyfile ${made.serverKey}`],
    });
    ends.push(() => broker.dispose());
    const password = file("old");
    const ca = file(readFileSync(made.otherCa));
    const env = {
      ...base(),
      MQTT_URL: `mqtts://localhost:${broker.port}`,
      MQTT_USERNAME: "gate",
      MQTT_PASSWORD_FILE: password,
      MQTT_TLS_CA: ca,
    };
    const config = configOf(env);
    const source = mqttSource({}, { settings: config.mqtt });
    ends.push(() => source.close());
    await source.start(fakeIntake(() => source));
    expect(source.status().detail).toContain("MQTT_TLS_CA");
    writeFileSync(ca, readFileSync(made.ca));
    await until("another CA", () => source.status().detail.includes("MQTT_PASSWORD"));
    writeFileSync(password, "new");
    rotation(config, () => loadConfig(env), silentLog)();
    await until("a connection", () => source.status().connected);
    writeFileSync(ca, "");
    source.reconnect();
    await until("another connection", () => source.status().reconnects === 1 && source.status().connected);
  });
});

describe.skipIf(!mosquittoAvailable())(
  "with mosquitto that requires certificates (skipped if it is not installed)",
  () => {
    test("the MQTT client shows a renewed certificate at its next try", async () => {
      const broker = await startMosquitto({
        listener: [
          `cafile ${made.ca}`,
          `certfile ${made.serverCert}`,
          `keyfile ${made.serverKey}`,
          "require_certificate true",
        ],
      });
      ends.push(() => broker.dispose());
      const cert = file(readFileSync(others.clientCert));
      const key = file(readFileSync(others.clientKey));
      const source = mqttSource({
        MQTT_URL: `mqtts://localhost:${broker.port}`,
        MQTT_TLS_CA: made.ca,
        MQTT_TLS_CERT: cert,
        MQTT_TLS_KEY: key,
      });
      ends.push(() => source.close());
      await source.start(fakeIntake(() => source));
      expect(source.status().detail).toContain("does not accept our client certificate");
      // Half of it is no pair: the old one stays in use.
      writeFileSync(cert, readFileSync(made.clientCert));
      await Bun.sleep(50);
      expect(source.status().connected).toBe(false);
      writeFileSync(key, readFileSync(made.clientKey));
      await until("a connection", () => source.status().connected);
    });
  },
);

const unavailable = postgresAvailable();
test.skipIf(unavailable !== "")(
  `PostgreSQL that wants certificates is shown a renewed one, and trusted by a renewed sslrootcert ${unavailable}`,
  async () => {
    const named = makeCertificates("postgres");
    ends.push(() => named.remove());
    const server = await startPostgres({ tls: { cert: named.serverCert, key: named.serverKey } });
    ends.push(() => server.stop());
    await wantCertificates(server.url, readFileSync(named.ca, "utf8"));
    const ca = file(readFileSync(named.otherCa));
    const cert = file(readFileSync(others.clientCert));
    const key = file(readFileSync(others.clientKey));
    const query = `sslmode=verify-full&sslrootcert=${ca}&sslcert=${cert}&sslkey=${key}`;
    const db = openPostgres({
      url: `${server.url.replace("127.0.0.1", "localhost")}?${query}`,
      poolMax: 1,
      timeoutMs: 5000,
    });
    ends.push(() => db.close());
    const ask = () =>
      db
        .query(
          "asking",
          (sql) => sql<{ ssl: boolean }[]>`select ssl from pg_stat_ssl where pid = pg_backend_pid()`,
        )
        .then((rows) => String(rows[0]?.ssl), explain);
    expect(await ask()).toContain("certificate");
    writeFileSync(ca, readFileSync(named.ca));
    expect(await ask()).not.toBe("true");
    writeFileSync(cert, readFileSync(named.clientCert));
    expect(await ask()).not.toBe("true");
    writeFileSync(key, readFileSync(named.clientKey));
    expect(await ask()).toBe("true");
    writeFileSync(ca, "half");
    expect(await ask()).toBe("true");
  },
);

/** The server itself writes the file, because its directory belongs to another user. */
async function wantCertificates(url: string, ca: string): Promise<void> {
  const sql = postgres(url, { max: 1, fetch_types: false });
  const [paths] = await sql<{ hba: string; dir: string }[]>`
    select current_setting('hba_file') as hba, current_setting('data_directory') as dir`;
  const write = (path: string, text: string) =>
    sql.unsafe(`copy (select unnest(string_to_array('${text}', chr(10)))) to '${path}'`);
  await write(`${paths?.dir}/clients.crt`, ca);
  await write(`${paths?.hba}`, "hostssl all all all cert");
  await sql.unsafe("alter system set ssl_ca_file = 'clients.crt'");
  await sql`select pg_reload_conf()`;
  await sql.end({ timeout: 1 });
}

test.skipIf(unavailable !== "")(
  `PostgreSQL is asked over a renewed DATABASE_URL ${unavailable}`,
  async () => {
    const server = await sharedPostgres();
    const other = await server.createDatabase();
    const options = { url: server.url, poolMax: 2, timeoutMs: 20_000 };
    const db = openPostgres(options);
    ends.push(() => db.close());
    const name = async () => {
      const [row] = await db.query(
        "asking",
        (sql) => sql<{ name: string }[]>`select current_database() as name`,
      );
      return row?.name;
    };
    expect(`/${await name()}`).toBe(new URL(server.url).pathname);
    const began = db
      .query("asking", (sql) => sql`select pg_sleep(1), 1 / (random() * 0)::int`)
      .catch(explain);
    options.url = other;
    expect(`/${await name()}`).toBe(new URL(other).pathname);
    expect(await began).toContain(`${new URL(server.url).pathname}, asking: division by zero`);
    expect(db.place).toEndWith(new URL(other).pathname);
  },
);

test("a named pipe is no file of a secret: to read it again would wait for a writer for good", async () => {
  const pipe = join(dir, "pipe");
  Bun.spawnSync(["mkfifo", "-m", "600", pipe]);
  const writer = Bun.spawn(["sh", "-c", `echo 0123456789abcdef > ${pipe}`]);
  const loaded = loadConfig({ ADMIN_TOKEN_FILE: pipe });
  writer.kill();
  await writer.exited;
  const mistake = expect.stringMatching(
    /^ADMIN_TOKEN_FILE=.*: cannot be read \(it is a named pipe, .*: give a file\)/,
  );
  expect(loaded).toMatchObject({ mistakes: [mistake] });
});
