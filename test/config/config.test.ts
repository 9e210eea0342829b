/** Reading the configuration: all mistakes at once, no secret shown, nothing on disk touched. */
import { describe, expect, test } from "bun:test";
import type { Host } from "../../src/config/host.ts";
import { loadConfig, type Loaded } from "../../src/config/index.ts";

const host: Host = {
  name: () => "gateway-7",
  canWrite: () => true,
  exposureOf: () => ({ mistakes: [], warnings: [] }),
  exposureOfSecret: () => undefined,
  readText(path) {
    if (path === "/run/secret") return "a-secret-from-a-file\n";
    if (path === "/run/empty") return "\n";
    throw new Error("ENOENT: no such file");
  },
};

const load = (env: Record<string, string>, here: Partial<Host> = {}) => loadConfig(env, { ...host, ...here });

function configOf(loaded: Loaded) {
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  return loaded;
}

function mistakesOf(loaded: Loaded): readonly string[] {
  if ("config" in loaded) throw new Error("no mistake was found");
  return loaded.mistakes;
}

test.each([
  ["MQTT_URL", "mqtt://h:99999"],
  ["MQTT_URL", "mqtt://u:hunter/2@h"],
  ["MQTT_URL", "mqtts://u:12#hunter2@h"],
  ["INFLUXDB_URL", "http://h:port"],
])("%s=%s is told what is wrong with it, and shows nothing of a password", (name, value) => {
  const said = mistakesOf(load({ [name]: value })).join();
  expect(said).toContain("a port of at most 65535; in user and password / ? # are written");
  expect(said).not.toContain("hunter");
});

test.each([`"a b"`, "'a b'"])("what stands in quotes is taken so, and told: %s", (value) => {
  const { warnings } = load({ MQTT_PASSWORD: value, INFLUXDB_TOKEN_FILE: '"/run/secret"', MQTT_TOPIC: `"'` });
  expect(warnings).toEqual([
    expect.stringMatching(/^MQTT_PASSWORD: the quotes around it are a part of the value/) as string,
    expect.stringMatching(/^INFLUXDB_TOKEN_FILE: the quotes around it/) as string,
  ]);
  expect(warnings.join()).not.toContain("a b");
});

describe("reading", () => {
  test("an empty environment is a valid configuration", () => {
    const { config, warnings } = configOf(load({}));
    expect(warnings).toEqual([]);
    expect(config.general).toMatchObject({
      gatewayId: "gateway-7",
      logLevel: "info",
      logStatsEverySeconds: 30,
    });
    expect(config.http).toEqual({ listen: "127.0.0.1:8080", adminToken: undefined, readToken: undefined });
  });

  test("the gateway's name is the one kept in DATA_DIR, at first the host's, and GATEWAY_ID takes precedence", () => {
    const keeping = {
      readText: (path: string) => (path === "/data/gateway-id" ? "kept-1\n" : host.readText(path)),
    };
    const nameOf = (loaded: Loaded) => configOf(loaded).effective.find(({ name }) => name === "GATEWAY_ID");
    const first = nameOf(load({ DATA_DIR: "/data" }));
    expect(first).toMatchObject({ value: "gateway-7", origin: "default" });
    const kept = nameOf(load({ DATA_DIR: "/data" }, keeping));
    expect(kept).toMatchObject({ value: "kept-1", origin: "kept in DATA_DIR" });
    const given = nameOf(load({ DATA_DIR: "/data", GATEWAY_ID: "g9" }, keeping));
    expect(given).toMatchObject({ value: "g9", origin: "environment" });
  });

  test("an empty value counts as unset, and blanks around a value are ignored", () => {
    const { config } = configOf(
      load({ SPOOL_LINGER_MS: "", GATEWAY_ID: "  ", LOG_STATS_EVERY_SECONDS: " 7 " }),
    );
    expect(config.spool.lingerMs).toBe(configOf(load({})).config.spool.lingerMs);
    expect(config.general.gatewayId).toBe("gateway-7");
    expect(config.general.logStatsEverySeconds).toBe(7);
  });

  test("a secret may come from a file", () => {
    const { config, effective } = configOf(load({ ADMIN_TOKEN_FILE: "/run/secret" }));
    expect(config.http.adminToken).toBe("a-secret-from-a-file");
    expect(effective).toContainEqual({ name: "ADMIN_TOKEN", value: "***", origin: "file" });
  });

  test.each([
    ["DEBUG", "debug"],
    ["Warning", "warn"],
    ["CRITICAL", "error"],
    ["FATAL", "error"],
    ["NOTSET", "debug"],
  ] as const)("LOG_LEVEL=%s of a service in Python is %s", (said, level) => {
    expect(configOf(load({ LOG_LEVEL: said })).config.general.logLevel).toBe(level);
  });

  test("what is in force is shown with its origin and without secrets", () => {
    const env = {
      MQTT_URL: "mqtt://me:hunter22@broker:1883",
      ADMIN_TOKEN: "hunter22hunter22",
      LOG_LEVEL: "warn",
    };
    const { effective } = configOf(load(env));
    expect(JSON.stringify(effective)).not.toContain("hunter22");
    expect(effective).toContainEqual({ name: "LOG_LEVEL", value: "warn", origin: "environment" });
    expect(effective).toContainEqual({ name: "GATEWAY_ID", value: "gateway-7", origin: "default" });
    expect(effective).toContainEqual({
      name: "MQTT_URL",
      value: "mqtt://me:***@broker:1883",
      origin: "environment",
    });
  });
});

describe("DATA_DIR", () => {
  const dirOf = (env: Record<string, string>, writable: boolean) =>
    configOf(load(env, { canWrite: () => writable })).config.general.dataDir;

  test("is what it says", () =>
    expect(dirOf({ DATA_DIR: "/data", STATE_DIRECTORY: "/s" }, true)).toBe("/data"));
  test("else systemd's, the first of several", () =>
    expect(dirOf({ STATE_DIRECTORY: "/s:/t" }, true)).toBe("/s"));
  test("else /var/lib/sluice if it can be written", () => expect(dirOf({}, true)).toBe("/var/lib/sluice"));
  test("else here", () => expect(dirOf({}, false)).toBe("./sluice-data"));
  test.each(["~", "~/data"])("is not %s, which a shell alone reads as a home directory", (dir) =>
    expect(mistakesOf(load({ DATA_DIR: dir }))).toEqual([
      expect.stringMatching(/^DATA_DIR=~.*: must be written out: only a shell/) as string,
    ]),
  );
});

describe("mistakes", () => {
  test("all of them at once, each with name, value and remedy", () => {
    const endless = "9".repeat(400);
    const mistakes = mistakesOf(
      load({
        LOG_LEVEL: "loud",
        SPOOL_LINGER_MS: "soon",
        RATE_LIMIT_RPS: endless,
        HTTP_LISTEN: "0.0.0.0:8080",
        BROKER_TLS_LISTEN: "127.0.0.1:8883",
        PG_HOST: "db",
      }),
    );
    for (const [name, value, fix] of [
      ["LOG_LEVEL", "loud", "debug, info, warn"],
      ["SPOOL_LINGER_MS", "soon", "a whole number from 0 to 10000"],
      ["RATE_LIMIT_RPS", endless, "a number such as 0, 2.5 or 100"],
      ["HTTP_LISTEN", "0.0.0.0:8080", "ADMIN_TOKEN"],
      ["BROKER_TLS_LISTEN", "", "BROKER_TLS_CERT"],
      ["PG_HOST", "db", "DATABASE_URL=postgres://"],
    ] as const) {
      const found = mistakes.filter((text) => text.startsWith(name));
      expect(found, name).toHaveLength(1);
      expect(found[0]).toContain(value);
      expect(found[0]).toContain(fix);
    }
    expect(mistakes).toHaveLength(6);
  });

  test.each([
    ["106751d", null],
    ["15250w", null],
    ["2562047h", null],
    ["forever", null],
    ["106752d", "at most 106751d"],
    ["15251w", "at most 106751d"],
    ["2562048h", "at most 106751d"],
    ["213504d", "at most 106751d"],
    [`${"9".repeat(30)}d`, "at most 106751d"],
    ["0d", "hours, days or weeks"],
    ["30m", "hours, days or weeks"],
  ])("INFLUX_RETENTION=%s: what InfluxDB 3 would keep as something else is a mistake", (value, fix) => {
    const loaded = load({ INFLUX_RETENTION: value });
    expect("mistakes" in loaded).toBe(fix !== null);
    if (fix !== null) expect(mistakesOf(loaded)).toEqual([expect.stringContaining(fix)]);
  });

  test.each([
    [{ INFLUXDB_URL: "file:///var/lib/lines" }, null],
    [{ INFLUXDB_URL: "file:/lines", INFLUXDB_API: "file" }, null],
    [{ INFLUXDB_URL: "file://localhost/a%20b" }, null],
    [{ INFLUXDB_URL: "file://lines" }, "a path that begins with /"],
    [{ INFLUXDB_URL: "file:lines" }, "a path that begins with /"],
    [{ INFLUXDB_URL: "file:///a%2Fb" }, "a path that begins with /"],
    [{ INFLUXDB_URL: "FILE:///lines" }, "a path that begins with /"],
    [{ INFLUXDB_URL: "file:///lines", INFLUXDB_API: "v2" }, "INFLUXDB_API=v2 does not fit INFLUXDB_URL"],
    [{ INFLUXDB_URL: "http://influx", INFLUXDB_API: "file" }, "INFLUXDB_API=file does not fit INFLUXDB_URL"],
    [{ INFLUXDB_URL: "http://influx", INFLUXDB_API: "file", INFLUXDB_WRITE_ENABLED: "0" }, null],
  ])("%j: files of lines go to a directory", (env: Record<string, string>, fix) => {
    const loaded = load(env);
    expect("mistakes" in loaded).toBe(fix !== null);
    if (fix !== null) expect(mistakesOf(loaded)).toEqual([expect.stringContaining(fix)]);
  });

  test("no secret is shown, however wrong it is", () => {
    const mistakes = mistakesOf(
      load({
        ADMIN_TOKEN: "hunter2",
        MQTT_URL: "mqtt//me:hunter2@broker",
        DATABASE_URL: "mysql://me:hunter2@db/x",
        PG_PASS: "hunter2",
      }),
    );
    expect(mistakes).toHaveLength(3);
    expect(mistakes.join("\n")).not.toContain("hunter2");
  });

  test("a secret's file that is absent, empty or beside the secret itself", () => {
    const wrong = (env: Record<string, string>) => mistakesOf(load(env))[0];
    expect(wrong({ ADMIN_TOKEN_FILE: "/nowhere" })).toContain("ADMIN_TOKEN_FILE=/nowhere: cannot be read");
    expect(wrong({ ADMIN_TOKEN_FILE: "/run/empty" })).toContain("the file is empty");
    expect(wrong({ ADMIN_TOKEN_FILE: "/run/secret", ADMIN_TOKEN: "sixteen-letters-" })).toContain("both set");
  });

  test("a token that is too short is one mistake, not also a missing one", () => {
    expect(mistakesOf(load({ HTTP_LISTEN: ":8080", ADMIN_TOKEN: "short" }))).toHaveLength(1);
  });

  test("an HTTP listener beyond loopback is valid with a token", () => {
    expect("config" in load({ HTTP_LISTEN: "[::]:8080", ADMIN_TOKEN: "sixteen-letters-" })).toBe(true);
  });

  test("an embedded broker beyond loopback without authentication is a mistake, unless there is another broker", () => {
    expect(mistakesOf(load({ BROKER_LISTEN: "0.0.0.0:1883" }))[0]).toContain("BROKER_LISTEN=0.0.0.0:1883");
    expect("config" in load({ BROKER_LISTEN: "0.0.0.0:1883", MQTT_URL: "mqtt://broker" })).toBe(true);
  });
});

describe("settings that only together are wrong", () => {
  const secret = "sixteen-letters-";
  test.each<[string, Record<string, string>, string]>([
    [
      "ingest where the administration is",
      { INGEST_LISTEN: "127.0.0.1:8080" },
      "INGEST_LISTEN=127.0.0.1:8080 is taken",
    ],
    ["ingest on all interfaces there", { INGEST_LISTEN: ":8080" }, "is taken by HTTP_LISTEN=127.0.0.1:8080"],
    [
      "ingest on every interface of both",
      { INGEST_LISTEN: "[::]:8080" },
      "is taken by HTTP_LISTEN=127.0.0.1:8080",
    ],
    ["ingest where the broker is", { INGEST_LISTEN: "127.0.0.1:1883" }, "is taken by BROKER_LISTEN"],
    [
      "the broker where the administration is",
      { BROKER_LISTEN: "127.0.0.1:8080" },
      "BROKER_LISTEN=127.0.0.1:8080 is taken by HTTP_LISTEN",
    ],
    [
      "ingest for everybody without a token",
      { INGEST_LISTEN: "0.0.0.0:8081", REQUIRE_TOKEN: "0" },
      "set REQUIRE_TOKEN=1, or listen on 127.0.0.1",
    ],
    [
      "one token for all",
      { ADMIN_TOKEN: secret, READ_TOKEN: secret },
      "READ_TOKEN is the same as ADMIN_TOKEN",
    ],
    [
      "a topic without Kafka",
      { KAFKA_SOURCE_TOPIC: "raw" },
      "KAFKA_SOURCE_TOPIC=raw needs KAFKA_BOOTSTRAP_SERVERS",
    ],
    ["a pipeline without Kafka", { KAFKA_VALIDATED_SOURCE: "1" }, "needs KAFKA_BOOTSTRAP_SERVERS"],
    ["a tenant of two levels", { REDIS_TENANT: "a/b" }, "one level of a topic"],
    ["a tenant of Kafka's of two levels", { KAFKA_SOURCE_TENANT: "a/b" }, "one level of a topic"],
    ["a long topic", { STATUS_TOPIC: "s".repeat(300) }, "must be a topic of at most 256 characters"],
  ])("%s", (_, env, words) => {
    expect(mistakesOf(load(env))).toEqual([expect.stringContaining(words)]);
  });

  test.each<[string, Record<string, string>]>([
    [
      "any free ports",
      { INGEST_LISTEN: "127.0.0.1:0", HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0" },
    ],
    ["one port of two addresses", { INGEST_LISTEN: "[::1]:8080" }],
    ["one port of IPv4 and of IPv6", { INGEST_LISTEN: ":8080", HTTP_LISTEN: "[::1]:8080" }],
    ["where the broker would be, were there none", { INGEST_LISTEN: ":1883", MQTT_URL: "mqtt://b" }],
    ["ingest for this host without a token", { INGEST_LISTEN: "127.0.0.1:8081", REQUIRE_TOKEN: "0" }],
    ["two tokens", { ADMIN_TOKEN: secret, READ_TOKEN: `${secret}2` }],
  ])("not %s", (_, env) => {
    expect(load(env)).toHaveProperty("config");
  });
});

test("a filter in which nothing can be taken is warned of", () => {
  const toml = `[[mapping]]\ntopic = "zigbee2mqtt/{device}"\ntenant = "acme"\nproof = "broker"\n`;
  const mapping = { readText: (path: string) => (path === "/map.toml" ? toml : host.readText(path)) };
  const broker = { MQTT_URL: "mqtt://b", MAPPINGS_FILE: "/map.toml" };
  const warned = (filter: string, env: Record<string, string> = broker) =>
    configOf(load({ ...env, MQTT_TOPIC: filter }, mapping)).warnings.map((each) => each.split(":")[0]);
  for (const good of ["#", "tenant/acme/#", "tenant/+/device/+/telemetry", "zigbee2mqtt/#"])
    expect(warned(good)).toEqual([]);
  expect(warned("tenant/+/device/+")).toEqual(["MQTT_TOPIC=tenant/+/device/+"]);
  expect(warned("tenant/+/device/+/+,shelly/#")).toEqual(["MQTT_TOPIC=shelly/#"]);
  expect(warned("zigbee2mqtt/#", { MQTT_URL: "mqtt://b" })).toEqual(["MQTT_TOPIC=zigbee2mqtt/#"]);
  expect(warned("zigbee2mqtt/#", {})).toEqual([]);
});

describe("names that are no setting", () => {
  test("those of the replaced services are reported with what to set instead", () => {
    expect(mistakesOf(load({ MQTT_HOST: "iot-mqtt", MQTT_PORT: "1884" }))).toEqual([
      "MQTT_HOST, MQTT_PORT: not read by Sluice; set MQTT_URL=mqtt://iot-mqtt:1884 instead",
    ]);
    expect(mistakesOf(load({ PG_HOST: "db", PG_DB: "x", PG_USER: "u", PG_PASS: "p" }))[0]).toEndWith(
      "set DATABASE_URL=postgres://u:<PG_PASS>@db:5432/x instead",
    );
  });

  test("beside the new name they are only a warning", () => {
    const { warnings } = configOf(load({ MQTT_HOST: "a", MQTT_URL: "mqtt://b", INGEST_WORKER_COUNT: "4" }));
    expect(warnings).toEqual([
      "MQTT_HOST: not read, since MQTT_URL is set; unset them",
      "INGEST_WORKER_COUNT: not needed (one process uses what the machine has); unset it",
    ]);
  });

  test.each([
    ["SPOOL_LINGERMS", "SPOOL_LINGER_MS"],
    ["http_listen", "HTTP_LISTEN"],
    ["HTTP_LISTN", "HTTP_LISTEN"],
    ["LOGLEVEL", "LOG_LEVEL"],
    ["DATABASE_URI", "DATABASE_URL"],
    ["MQTT_ULR", "MQTT_URL"],
    ["INFLUX_URL", "INFLUXDB_URL"],
    ["GATEWAY_ID_FILE", "GATEWAY_ID"],
    ["POSTGRES_URL", "DATABASE_URL"],
    ["POSTGRESQL_URL", "DATABASE_URL"],
    ["PG_URL", "DATABASE_URL"],
    ["DB_URL", "DATABASE_URL"],
    ["BROKER_URL", "MQTT_URL"],
    ["MQTT_BROKER", "MQTT_URL"],
    ["MQTT_BROKER_URL", "MQTT_URL"],
    ["MQTT_SERVER", "MQTT_URL"],
    ["MQTT_USER", "MQTT_USERNAME"],
    ["MQTT_PASS", "MQTT_PASSWORD"],
    ["MQTT_TOPICS", "MQTT_TOPIC"],
    ["INFLUX_HOST", "INFLUXDB_URL"],
    ["INFLUXDB_HOST", "INFLUXDB_URL"],
    ["KAFKA_BROKER", "KAFKA_BOOTSTRAP_SERVERS"],
    ["KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS"],
  ])("%s was meant to be %s", (name, meant) => {
    expect(configOf(load({ [name]: "x" })).warnings).toEqual([
      `${name}: not a setting; did you mean ${meant}?`,
    ]);
  });

  test("the usual environment of a shell is ignored silently", () => {
    const env = {
      PATH: "/bin",
      HOME: "/root",
      LANG: "C",
      TERM: "xterm",
      USER: "me",
      PWD: "/",
      SHLVL: "1",
      HOSTNAME: "h",
    };
    expect(configOf(load(env)).warnings).toEqual([]);
  });
});
