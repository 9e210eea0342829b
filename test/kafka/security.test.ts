/** How the gateway logs in at Kafka, and what it says if it may not: SASL, TLS and access lists of a real broker. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { connectWire } from "../../src/kafka/wire.ts";
import { explain } from "../../src/core/log/log.ts";
import { Outage } from "../../src/core/outage.ts";
import { probe } from "../../src/source/kafka/look.ts";
import { delivery, event, noTotals, reject } from "../contract/entries.ts";
import { startKafka, type Kafka } from "../kit/kafka/broker.ts";
import { allow, kafkaTestable, newTopic, produceByKcat, setPassword } from "../kit/kafka/client.ts";
import { openKafka, type OpenKafka } from "../kit/kafka/sink.ts";
import { kafkaSettingsOf, openSource } from "../kit/kafka/source.ts";
import { startProxy } from "../kit/proxy.ts";
import { fakeIntake, until } from "../kit/source.ts";
import { until as eventually } from "../kit/until.ts";
import { makeCertificates, type Certificates } from "../kit/tls.ts";

const jaas = "org.apache.kafka.common.security";
const login = (mechanism: string, line: string) =>
  `listener.name.sasl.${mechanism}.sasl.jaas.config=${jaas}.${line};`;
const users = `username="admin" password="admin-secret" user_admin="admin-secret" user_alice="alice-secret" user_mallory="mallory-secret"`;

/** Unsecured, as the broker's default validator takes it in tests. */
function jwt(subject: string, seconds = 600): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  return `${part({ alg: "none" })}.${part({ sub: subject, iat: now, exp: now + seconds })}.`;
}

/** With those that were aborted. */
async function recordsIn(bootstrap: string, name: string): Promise<number> {
  const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: bootstrap });
  const wire = await connectWire(settings, "test", systemClock);
  const [topic] = (await wire.topics([name])).topics;
  const ends = (topic?.leaders ?? []).map((node, partition) => wire.logEnd(node, name, partition, "latest"));
  const sum = (await Promise.all(ends)).reduce((total, end) => total + end, 0);
  await wire.close();
  return sum;
}

describe.skipIf(kafkaTestable() !== "")(`Kafka's doors (${kafkaTestable() || "real"})`, () => {
  let certificates: Certificates;
  let broker: Kafka;
  let kafka: OpenKafka;
  const at = (listener: string) => `localhost:${broker.ports[listener]}`;

  beforeAll(async () => {
    certificates = makeCertificates();
    const keystore = join(tmpdir(), `sluice-kafka-keystore-${process.pid}.pem`);
    const [key, cert] = [certificates.serverKey, certificates.serverCert].map((path) =>
      readFileSync(path, "utf8"),
    );
    writeFileSync(keystore, `${key}${cert}`);
    const tls = (name: string, client: string) => [
      `listener.name.${name}.ssl.keystore.type=PEM`,
      `listener.name.${name}.ssl.keystore.location=${keystore}`,
      `listener.name.${name}.ssl.truststore.type=PEM`,
      `listener.name.${name}.ssl.truststore.location=${certificates.ca}`,
      `listener.name.${name}.ssl.client.auth=${client}`,
    ];
    broker = await startKafka({
      listeners: {
        ...{ SASL: "SASL_PLAINTEXT", TLS: "SSL", MTLS: "SSL", SASLTLS: "SASL_SSL" },
        BRIEF: "SASL_PLAINTEXT",
      },
      format: [
        "--add-scram",
        "SCRAM-SHA-256=[name=bob,password=bob-secret]",
        "--add-scram",
        "SCRAM-SHA-512=[name=bob,password=bob-secret]",
      ],
      properties: [
        "transaction.max.timeout.ms=600000",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS;User:alice;User:bob;User:carol;User:CN=client",
        "listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        "listener.name.sasltls.sasl.enabled.mechanisms=PLAIN",
        login("plain", `plain.PlainLoginModule required ${users}`),
        login("scram-sha-256", "scram.ScramLoginModule required"),
        login("scram-sha-512", "scram.ScramLoginModule required"),
        login(
          "oauthbearer",
          `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin"`,
        ),
        `listener.name.sasltls.plain.sasl.jaas.config=${jaas}.plain.PlainLoginModule required ${users};`,
        "listener.name.brief.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER",
        ...["plain", "scram-sha-256", "oauthbearer"].map(
          (mechanism) => `listener.name.brief.${mechanism}.connections.max.reauth.ms=4000`,
        ),
        `listener.name.brief.plain.sasl.jaas.config=${jaas}.plain.PlainLoginModule required ${users};`,
        `listener.name.brief.scram-sha-256.sasl.jaas.config=${jaas}.scram.ScramLoginModule required;`,
        `listener.name.brief.oauthbearer.sasl.jaas.config=${jaas}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin";`,
        ...tls("tls", "none"),
        ...tls("mtls", "required"),
        ...tls("sasltls", "none"),
      ],
    });
    kafka = await openKafka(broker.bootstrap);
  }, 60_000);

  afterAll(async () => {
    await kafka?.close();
    await broker?.stop();
    certificates?.remove();
  });

  const asUser = (mechanism: string, user: string, password: string) => ({
    KAFKA_SASL_MECHANISM: mechanism,
    KAFKA_SASL_USERNAME: user,
    KAFKA_SASL_PASSWORD: password,
  });
  const trusting = () => ({ KAFKA_TLS: "1", KAFKA_TLS_CA: certificates.ca });
  const known = () => ({ KAFKA_TLS_CERT: certificates.clientCert, KAFKA_TLS_KEY: certificates.clientKey });

  const doors: [string, string, () => Record<string, string>][] = [
    ["PLAIN", "SASL", () => asUser("PLAIN", "alice", "alice-secret")],
    ["SCRAM-SHA-256", "SASL", () => asUser("SCRAM-SHA-256", "bob", "bob-secret")],
    ["SCRAM-SHA-512", "SASL", () => asUser("SCRAM-SHA-512", "bob", "bob-secret")],
    ["OAUTHBEARER", "SASL", () => ({ KAFKA_SASL_MECHANISM: "OAUTHBEARER", KAFKA_SASL_TOKEN: jwt("carol") })],
    ["TLS", "TLS", trusting],
    ["TLS with a client certificate", "MTLS", () => ({ ...trusting(), ...known() })],
    ["PLAIN within TLS", "SASLTLS", () => ({ ...trusting(), ...asUser("PLAIN", "alice", "alice-secret") })],
  ];

  test.each(doors)("lets in by %s", async (name, listener, env) => {
    const sink = kafka.open({
      gatewayId: name.replaceAll(" ", "-"),
      env: { ...env(), KAFKA_BOOTSTRAP_SERVERS: at(listener) },
    });
    expect(await sink.probe()).toContain(kafka.validated);
    expect((await sink.deliver(delivery([event(1)]))).delivered).toBe(1);
  });

  test.each([
    ["PLAIN", () => asUser("PLAIN", "alice", "alice-secret")],
    ["SCRAM-SHA-256", () => asUser("SCRAM-SHA-256", "bob", "bob-secret")],
    ["OAUTHBEARER", () => ({ KAFKA_SASL_MECHANISM: "OAUTHBEARER", KAFKA_SASL_TOKEN: jwt("carol") })],
  ])("goes on by the same connections where a login by %s ends by itself", async (name, credentials) => {
    const topic = await newTopic(broker.bootstrap);
    const env = {
      ...credentials(),
      KAFKA_BOOTSTRAP_SERVERS: at("BRIEF"),
      KAFKA_CONSUMER_POLL_TIMEOUT_S: "0.1",
    };
    const sink = kafka.open({ gatewayId: `brief-${name}`, env });
    const sources = [{}, { KAFKA_CONSUMER_GROUP_ID: `group-${topic}` }].map((more, i) => {
      const intake = fakeIntake(() => source);
      const source = openSource({ ...env, ...more, KAFKA_SOURCE_TOPIC: topic }, new Map(), `${name}-${i}`);
      return { source, intake };
    });
    for (const { source, intake } of sources) await source.start(intake);
    for (let n = 0; n < 12; n++) {
      const before = { ...noTotals, delivered: n };
      await sink.deliver(delivery([event(n + 1)], { before, epoch: name }));
      await produceByKcat(broker.bootstrap, topic, [{ key: "acme/d1", value: String(n) }]);
      for (const { intake } of sources) await until("it is read", () => intake.messages.length === n + 1);
      await Bun.sleep(500);
    }
    expect(sink.stats?.()).toMatchObject({ sessions: 1 });
    for (const { source } of sources) {
      expect(source.status()).toMatchObject({ connected: true, reconnects: 0 });
      await source.close();
    }
  });

  test("renews a login with the password that the settings have by then", async () => {
    const settings = {
      ...kafkaSettingsOf({
        ...asUser("SCRAM-SHA-256", "dora", "dora-secret-1"),
        KAFKA_BOOTSTRAP_SERVERS: at("BRIEF"),
      }),
    };
    await allow(broker.bootstrap, "dora", "topic", kafka.validated, ["DESCRIBE"]);
    await setPassword(broker.bootstrap, "dora", "dora-secret-1");
    const wire = await eventually(() => connectWire(settings, "dora", systemClock));
    await setPassword(broker.bootstrap, "dora", "dora-secret-2");
    Object.assign(settings, { saslPassword: "dora-secret-2" });
    for (let n = 0; n < 12; n++) {
      expect((await wire.topics([kafka.validated])).topics).toHaveLength(1);
      await Bun.sleep(500);
    }
    const ask = () => wire.logEnd(1, kafka.validated, 0, "latest");
    const before = await ask();
    Object.assign(settings, { saslPassword: "wrong-secret" });
    const refused = () =>
      ask().then(
        () => false,
        (error: unknown) => explain(error),
      );
    expect(await eventually(refused)).toContain("SASL_AUTHENTICATION_FAILED");
    Object.assign(settings, { saslPassword: "dora-secret-2" });
    expect(await ask()).toBe(before);
    await wire.close();
  });

  test("takes a renewed CA and client certificate at its next connection", async () => {
    const others = makeCertificates();
    const dir = mkdtempSync(join(tmpdir(), "sluice-kafka-renewed-"));
    const [ca, cert, key] = ["ca", "cert", "key"].map((name) => join(dir, name)) as [string, string, string];
    const renew = (path: string, from: string) => copyFileSync(from, path);
    renew(ca, others.ca);
    renew(cert, others.clientCert);
    renew(key, others.clientKey);
    const sink = kafka.open({
      gatewayId: "renewed",
      env: {
        KAFKA_BOOTSTRAP_SERVERS: at("MTLS"),
        KAFKA_TLS: "1",
        ...{ KAFKA_TLS_CA: ca, KAFKA_TLS_CERT: cert, KAFKA_TLS_KEY: key },
      },
    });
    const deliver = () => sink.deliver(delivery([event(1)])).then(({ delivered }) => delivered, explain);
    expect(await deliver()).toContain("cannot connect");
    renew(ca, certificates.ca);
    expect(await deliver()).not.toBe(1);
    renew(cert, certificates.clientCert);
    expect(await deliver()).not.toBe(1);
    renew(key, certificates.clientKey);
    expect(await deliver()).toBe(1);
    others.remove();
    rmSync(dir, { recursive: true });
  });

  const shut: [string, string, () => Record<string, string>, RegExp][] = [
    [
      "a wrong password",
      "SASL",
      () => asUser("PLAIN", "alice", "wrong-secret-1"),
      /SASL_AUTHENTICATION_FAILED.*KAFKA_SASL_PASSWORD/s,
    ],
    [
      "an unknown user",
      "SASL",
      () => asUser("SCRAM-SHA-512", "nobody", "wrong-secret-2"),
      /SASL_AUTHENTICATION_FAILED.*KAFKA_SASL_USERNAME/s,
    ],
    [
      "a token that is over",
      "SASL",
      () => ({ KAFKA_SASL_MECHANISM: "OAUTHBEARER", KAFKA_SASL_TOKEN: jwt("carol", -600) }),
      /the broker refuses the token: \{"status":"invalid_token"\} \(58\): see .*KAFKA_SASL_TOKEN/s,
    ],
    [
      "an unknown CA",
      "TLS",
      () => ({ KAFKA_TLS: "1", KAFKA_TLS_CA: certificates.otherCa }),
      /cannot connect to Kafka at localhost.*certificate.*a setting that ends in _TLS_CA/s,
    ],
    ["no client certificate", "MTLS", trusting, /cannot connect to Kafka at localhost/],
    [
      "a mechanism that the broker has not",
      "SASLTLS",
      () => ({ ...trusting(), ...asUser("SCRAM-SHA-512", "bob", "bob-secret") }),
      /UNSUPPORTED_SASL_MECHANISM.*see KAFKA_SASL_MECHANISM/s,
    ],
    [
      "no login where one is wanted",
      "SASL",
      () => ({}),
      /closed.*does that listener want .*KAFKA_SASL_MECHANISM/s,
    ],
    ["no TLS where it is wanted", "TLS", () => ({}), /closed.*does that listener want TLS.*KAFKA_TLS/s],
    [
      "TLS where there is none",
      "SASL",
      trusting,
      /disconnected.*does that listener want TLS.*, or none.*KAFKA_TLS/s,
    ],
  ];

  test.each(shut)("says what is wrong with %s, and not the secret", async (_name, listener, env, words) => {
    const sink = kafka.open({ env: { ...env(), KAFKA_BOOTSTRAP_SERVERS: at(listener) } });
    for (const failed of [
      await sink.probe().catch(explain),
      await sink.deliver(delivery([event(1)])).catch(explain),
    ]) {
      expect(failed).toMatch(words);
      expect(failed).not.toContain("secret");
    }
  });

  test.each(["SCRAM-SHA-256", "SCRAM-SHA-512"])(
    "believes no broker whose %s signature is wrong",
    async (mechanism) => {
      const line = await startProxy({ host: "localhost", port: broker.ports["SASL"] ?? 0 });
      let seen = 0;
      line.onAnswer((piece) => {
        const place = piece.toString("latin1").search(/v=[A-Za-z0-9+/]{40,}=/);
        if (place < 0) return;
        seen++;
        piece.write(piece[place + 2] === 65 ? "B" : "A", place + 2);
      });
      const sink = kafka.open({
        env: { ...asUser(mechanism, "bob", "bob-secret"), KAFKA_BOOTSTRAP_SERVERS: `localhost:${line.port}` },
      });
      const failed = (await sink.deliver(delivery([event(1)])).catch((error: unknown) => error)) as Outage;
      expect(failed.message).toContain("the server does not prove that it knows the password");
      expect(failed.alarm).toBe(true);
      expect(seen).toBeGreaterThan(0);
      await line.stop();
    },
  );

  test("names the right that is missing, one after the other, and needs no more than it says", async () => {
    const env = { ...asUser("PLAIN", "mallory", "mallory-secret"), KAFKA_BOOTSTRAP_SERVERS: at("SASL") };
    const sink = kafka.open({ gatewayId: "least", env });
    const steps: [RegExp, () => Promise<void>][] = [
      [
        /allow.*WRITE on .* and READ on/,
        () => allow(broker.bootstrap, "mallory", "topic", kafka.validated, ["WRITE", "READ"]),
      ],
      [/WRITE on/, () => allow(broker.bootstrap, "mallory", "topic", kafka.rejected, ["WRITE"])],
      [
        /transactional id sluice-least/,
        () => allow(broker.bootstrap, "mallory", "transactionalId", "sluice-least", ["WRITE"]),
      ],
      [/group sluice-least/, () => allow(broker.bootstrap, "mallory", "group", "sluice-least", ["READ"])],
    ];
    for (const [words, fix] of steps) {
      const failed = (await sink.deliver(delivery([event(1)])).catch((error: unknown) => error)) as Outage;
      expect(failed).toBeInstanceOf(Outage);
      expect(failed.alarm).toBe(true);
      expect(failed.message).toMatch(words);
      expect(await sink.probe().catch(explain)).toMatch(words);
      await fix();
    }
    expect((await sink.deliver(delivery([event(1)]))).delivered).toBe(1);
    expect(await sink.probe()).toContain("sluice-least");
  });

  test("check sees that a topic may only be read", async () => {
    const env = { ...asUser("PLAIN", "mallory", "mallory-secret"), KAFKA_BOOTSTRAP_SERVERS: at("SASL") };
    const other = await openKafka(broker.bootstrap);
    await allow(broker.bootstrap, "mallory", "topic", other.validated, ["READ"]);
    await allow(broker.bootstrap, "mallory", "topic", other.rejected, ["WRITE"]);
    await allow(broker.bootstrap, "mallory", "transactionalId", "sluice-reader", ["WRITE"]);
    await allow(broker.bootstrap, "mallory", "group", "sluice-reader", ["READ"]);
    const said = await other.open({ gatewayId: "reader", env }).probe().catch(explain);
    expect(said).toContain(`may not write to ${other.validated}`);
    await other.close();
  });

  test("sends no records while it may not write to one of the topics, and names that one", async () => {
    const env = { ...asUser("PLAIN", "mallory", "mallory-secret"), KAFKA_BOOTSTRAP_SERVERS: at("SASL") };
    const other = await openKafka(broker.bootstrap);
    await allow(broker.bootstrap, "mallory", "topic", other.validated, ["READ", "WRITE"]);
    await allow(broker.bootstrap, "mallory", "topic", other.rejected, ["DESCRIBE"]);
    await allow(broker.bootstrap, "mallory", "transactionalId", "sluice-half", ["WRITE"]);
    await allow(broker.bootstrap, "mallory", "group", "sluice-half", ["READ"]);
    const sink = other.open({ gatewayId: "half", env });
    const words = `may not write to ${other.rejected}`;
    expect(await sink.deliver(delivery([event(1), reject(2)])).catch(explain)).toContain(words);
    expect(await recordsIn(broker.bootstrap, other.validated)).toBe(0);
    await allow(broker.bootstrap, "mallory", "topic", other.rejected, ["WRITE"]);
    expect((await sink.deliver(delivery([event(1), reject(2)]))).delivered).toBe(2);
    await other.close();
  });

  test.each([
    ["WRITE on the transactional id sluice-seen-id", "seen-id", ["DESCRIBE"], ["READ"]],
    ["READ on the group sluice-seen-group", "seen-group", ["WRITE"], ["DESCRIBE"]],
  ] as const)(
    "check names the right of %s if it may only be seen",
    async (words, gatewayId, ofId, ofGroup) => {
      const env = { ...asUser("PLAIN", "mallory", "mallory-secret"), KAFKA_BOOTSTRAP_SERVERS: at("SASL") };
      const other = await openKafka(broker.bootstrap);
      const name = `sluice-${gatewayId}`;
      const grant = (
        ...right: [kind: Parameters<typeof allow>[2], name: string, what: Parameters<typeof allow>[4]]
      ) => allow(broker.bootstrap, "mallory", ...right);
      await grant("topic", other.validated, ["READ", "WRITE"]);
      await grant("topic", other.rejected, ["WRITE"]);
      await grant("transactionalId", name, ofId);
      await grant("group", name, ofGroup);
      const sink = other.open({ gatewayId, env });
      expect(await sink.probe().catch(explain)).toContain(`allow the gateway's user ${words}`);
      for (const seq of [1, 1])
        expect(await sink.deliver(delivery([event(seq)])).catch(explain)).toContain(words);
      expect(await recordsIn(broker.bootstrap, other.validated)).toBe(0);
      await grant("transactionalId", name, ["WRITE"]);
      await grant("group", name, ["READ"]);
      expect(await sink.probe()).toContain(name);
      await other.close();
    },
  );

  test("a group names the rights that are missing, at once and in `check`", async () => {
    const { validated: topic } = kafka;
    const group = `group-${topic}`;
    const env = {
      ...asUser("PLAIN", "mallory", "mallory-secret"),
      KAFKA_BOOTSTRAP_SERVERS: at("SASL"),
      KAFKA_SOURCE_TOPIC: topic,
      KAFKA_SINK_ENABLED: "0",
      KAFKA_CONSUMER_GROUP_ID: group,
    };
    await allow(broker.bootstrap, "mallory", "topic", topic, ["READ"]);
    const source = openSource(env, new Map(), "member");
    const words = `allow the gateway's user READ on the group ${group}`;
    await source.start(fakeIntake());
    expect(source.status()).toMatchObject({
      connected: false,
      detail: expect.stringContaining(words) as string,
    });
    expect(await probe(kafkaSettingsOf(env)).catch(explain)).toContain(words);
    await allow(broker.bootstrap, "mallory", "group", group, ["READ"]);
    await until("it reads", () => source.status().connected);
    expect(await probe(kafkaSettingsOf(env))).toContain(topic);
    await source.close();
  });

  test.each([
    ["the topic", ["DESCRIBE"], ["READ"]],
    ["the group", ["READ"], ["DESCRIBE"]],
  ] as const)(
    "names the right to read %s if it may only be seen, and does not say that it reads",
    async (what, ofTopic, ofGroup) => {
      const topic = await newTopic(broker.bootstrap);
      const group = `group-${topic}`;
      await allow(broker.bootstrap, "mallory", "topic", topic, ofTopic);
      await allow(broker.bootstrap, "mallory", "group", group, ofGroup);
      const env = {
        ...asUser("PLAIN", "mallory", "mallory-secret"),
        KAFKA_BOOTSTRAP_SERVERS: at("SASL"),
        KAFKA_SOURCE_TOPIC: topic,
        KAFKA_SINK_ENABLED: "0",
      };
      const name = what === "the topic" ? topic : `the group ${group}`;
      const alone = what === "the topic" ? [openSource(env, new Map(), "alone")] : [];
      const member = openSource({ ...env, KAFKA_CONSUMER_GROUP_ID: group }, new Map(), "member");
      for (const source of [...alone, member]) {
        const said = new Set<boolean>();
        const intake = fakeIntake();
        const starting = source.start(intake);
        await until("it says why", () => {
          const { connected, detail } = source.status();
          said.add(connected);
          return detail.includes(`allow the gateway's user READ on ${name}`);
        });
        await starting;
        expect([...said]).toEqual([false]);
      }
      const inGroup = kafkaSettingsOf({ ...env, KAFKA_CONSUMER_GROUP_ID: group });
      expect(await probe(inGroup).catch(explain)).toContain(`allow the gateway's user READ on ${name}`);
      await allow(broker.bootstrap, "mallory", "topic", topic, ["READ"]);
      await allow(broker.bootstrap, "mallory", "group", group, ["READ"]);
      for (const source of [...alone, member]) {
        await until("it reads", () => source.status().connected);
        await source.close();
      }
    },
  );

  test("names the setting if the brokers let no transaction last as long", async () => {
    const sink = kafka.open({ gatewayId: "long", env: { KAFKA_TRANSACTION_TIMEOUT_MS: "900000" } });
    const said = await sink.deliver(delivery([event(1)])).catch((error: unknown) => error);
    expect(said).toMatchObject({ alarm: true });
    expect(explain(said)).toContain("set KAFKA_TRANSACTION_TIMEOUT_MS to no more than");
  });
});
