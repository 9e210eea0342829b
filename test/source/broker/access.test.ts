import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connectAsync } from "mqtt";
import { cleanUp, device, embeddedBroker, endLater, idsOf, ping, returnCodeOf } from "../../kit/embedded.ts";
import { recordingLog, until } from "../../kit/source.ts";
import mqttPacket, { type IConnectPacket } from "mqtt-packet";
import { endedCertificate, makeCertificates } from "../../kit/tls.ts";
import { connectPacket, publishPacket, type WireClient, wireClient } from "../../kit/wire.ts";

afterEach(cleanUp);

describe("proof of identity at CONNECT", () => {
  const authenticate = (tenantId: string, deviceId: string, token: string) => {
    if (deviceId === "away") return Promise.reject(new Error("the registry is away"));
    return Promise.resolve(tenantId === "acme" && token === `token-of-${deviceId}`);
  };
  const login = (name: string) => ({ username: `acme/${name}`, password: `token-of-${name}` });

  test.each([
    ["no credentials", {}, 5],
    ["a wrong token", { username: "acme/d1", password: "wrong" }, 4],
    ["a user name of another form", { username: "d1", password: "token-of-d1" }, 4],
    ["a wildcard in the user name", { username: "acme/+", password: "token-of-+" }, 4],
    ["a registry that is away", { username: "acme/away", password: "x" }, 3],
    ["the right token", login("d1"), 0],
  ])("if it is required: %s", async (_name, given, returnCode) => {
    const { port } = await embeddedBroker({ BROKER_REQUIRE_AUTH: "1" }, { authenticate });
    expect(returnCodeOf(await device(port, "c", given))).toBe(returnCode);
  });

  test("if it is not: anonymous clients are accepted, wrong credentials are not", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    expect(returnCodeOf(await device(port, "a"))).toBe(0);
    expect(returnCodeOf(await device(port, "b", { username: "acme/d1", password: "wrong" }))).toBe(4);
  });

  test("credentials that cannot be checked here are refused", async () => {
    const { port } = await embeddedBroker();
    expect(returnCodeOf(await device(port, "b", login("d1")))).toBe(3);
  });

  test("a device that proved itself publishes under its own topic only", async () => {
    const { log, lines } = recordingLog();
    const { intake, port } = await embeddedBroker({}, { authenticate, log }, true);
    const good = await device(port, "good", login("d1"));
    good.send(publishPacket(1, "own", { topic: "tenant/acme/device/d1/telemetry" }));
    await until("PUBACK", () => idsOf(good, "puback").length === 1);
    const named = `devices/${login("d1").password}/telemetry`;
    for (const topic of [named, "tenant/acme/device/d2/telemetry", "tenant/acme/device/d10/telemetry"]) {
      const bad = await device(port, "bad", login("d1"));
      bad.send(publishPacket(1, "not own", { topic }));
      await until("closed", () => bad.closed());
      expect(idsOf(bad, "puback")).toEqual([]);
    }
    expect(intake.texts()).toEqual(["own"]);
    const told = lines.filter(({ msg }) => msg.includes("not the device's own topic"));
    expect(told).toMatchObject([{ topic: "devices/***/telemetry" }]);
  });

  test("a device that proved itself subscribes under its own topic only", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const client = await device(port, "c", login("d1"));
    const filters = [
      "tenant/acme/device/d1/#",
      `devices/${login("d1").password}/#`,
      "tenant/acme/device/+/telemetry",
      "#",
      "tenant/acme/device/d2/x",
    ];
    client.send({
      cmd: "subscribe",
      messageId: 5,
      subscriptions: filters.map((topic) => ({ topic, qos: 1 })),
    });
    await until("SUBACK", () => client.packets.some((packet) => packet.cmd === "suback"));
    expect(client.packets.find((packet) => packet.cmd === "suback")).toMatchObject({
      granted: [1, 128, 128, 128, 128],
    });
    const told = lines.filter(({ msg }) => msg === "SUBSCRIBE refused: not the device's own topic");
    expect(told).toMatchObject([{ remote: "127.0.0.1", device_id: "d1", topic: "devices/***/#" }]);
  });

  test("of a client that proved nothing the topic is not logged, for it may hold a token", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const client = await device(port, "c");
    const subscriptions = [{ topic: `v1/devices/${login("d1").password}/rpc/#`, qos: 1 as const }];
    client.send({ cmd: "subscribe", messageId: 5, subscriptions });
    await until("SUBACK", () => client.packets.some((packet) => packet.cmd === "suback"));
    expect(lines.at(-1)?.msg).toStartWith("SUBSCRIBE refused: ");
    expect(JSON.stringify(lines)).not.toContain(login("d1").password);
  });

  test("a device has few subscriptions at a time, and those that it took back do not count", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const client = await device(port, "c", login("d1"));
    const granted = () =>
      client.packets.flatMap((packet) => (packet.cmd === "suback" ? (packet.granted as number[]) : []));
    const subscribe = async (n: number) => {
      const topic = `tenant/acme/device/d1/answers/${n}`;
      const before = granted().length;
      client.send({ cmd: "subscribe", messageId: n, subscriptions: [{ topic, qos: 1 }] });
      await until("SUBACK", () => granted().length > before);
      return topic;
    };
    for (let n = 1; n <= 30; n += 1) {
      const topic = await subscribe(n);
      client.send({ cmd: "unsubscribe", messageId: n, unsubscriptions: [topic] });
    }
    await until("UNSUBACK", () => idsOf(client, "unsuback").length === 30);
    for (let n = 31; n <= 52; n += 1) await subscribe(n);
    expect(granted().filter((code) => code === 1)).toHaveLength(50);
    expect(granted().slice(50)).toEqual([128, 128]);
    expect(lines.at(-1)?.msg).toBe("SUBSCRIBE refused: the client has 20 already");
  });

  test("a message reaches its device's subscriber, however many others subscribe to their own topics", async () => {
    const { port } = await embeddedBroker({}, { authenticate: () => Promise.resolve(true) }, true);
    for (let n = 0; n < 104; n += 1) {
      const name = `other${n % 26}`;
      const other = await device(port, `c${n}`, { username: `acme/${name}`, password: "any" });
      const subscriptions = Array.from({ length: 20 }, (_, i) => ({
        topic: `tenant/acme/device/${name}/${i}`,
        qos: 0 as const,
      }));
      other.send({ cmd: "subscribe", messageId: 1, subscriptions });
      await until("SUBACK", () => idsOf(other, "suback").length === 1);
    }
    const own = await device(port, "own", login("d1"));
    const topic = "tenant/acme/device/d1/telemetry";
    own.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 0 }] });
    await until("SUBACK", () => idsOf(own, "suback").length === 1);
    own.send(publishPacket(1, "a reading", { topic }));
    await until("its message", () => own.packets.some(({ cmd }) => cmd === "publish"));
  });

  test("a client id belongs to its user: nobody else can use it or take it over", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const anonymous = await device(port, "meter");
    const first = await device(port, "meter", login("d1"));
    expect(returnCodeOf(await device(port, "meter", login("d2")))).toBe(0);
    await ping(anonymous);
    await ping(first);
    expect(returnCodeOf(await device(port, "meter", login("d1")))).toBe(0);
    await until("its own does", () => first.closed());
    expect(lines.some(({ msg }) => msg.includes("taken over by another one"))).toBe(true);
  });

  test("a device has few connections at a time", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const own: WireClient[] = [];
    for (let i = 0; i < 6; i += 1) own.push(await device(port, `c${i}`, login("d1")));
    await until("the oldest gave way", () => own.filter((client) => client.closed()).length === 2);
    expect(own.map((client) => client.closed())).toEqual([true, true, false, false, false, false]);
    expect(own.map(returnCodeOf)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(lines.find(({ msg }) => msg.includes("newer"))).toMatchObject({ client_id: "acme/d1:c0" });
    expect(returnCodeOf(await device(port, "other", login("d2")))).toBe(0);
  });

  test("who takes over one of the most connections of its device pushes out no other", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    const own: WireClient[] = [];
    for (const id of ["a", "b", "c", "d", "d"]) own.push(await device(port, id, login("d1")));
    await until("the one before goes", () => own[3]?.closed() === true);
    for (const at of [0, 1, 2, 4]) await ping(own[at] as WireClient);
  });

  test("connections that end while the registry is asked for their device count no more", async () => {
    let answers: PromiseWithResolvers<boolean>[] = [];
    const slow = () => {
      const answer = Promise.withResolvers<boolean>();
      answers.push(answer);
      return answer.promise;
    };
    const { source, port } = await embeddedBroker({}, { authenticate: slow });
    const answerAll = () => {
      for (const { resolve } of answers) resolve(true);
      answers = [];
    };
    const connecting = async (clientId: string) => {
      const client = await wireClient(port);
      client.send(connectPacket(clientId, login("d1")));
      await until("the question", () => answers.length > 0);
      return client;
    };
    const present = await connecting("present");
    answerAll();
    await until("CONNACK", () => returnCodeOf(present) === 0);
    for (let n = 0; n < 4; n += 1) {
      const hasty = await connecting(`hasty${n}`);
      hasty.socket.destroy();
      await until("it has gone", () => source.status().detail.endsWith("1 connection"));
      answerAll();
    }
    const last = await connecting("last");
    answerAll();
    await until("CONNACK", () => returnCodeOf(last) === 0);
    await ping(present);
  });

  test("a device's will is under its own topic too, and the log says of which it is not", async () => {
    const { log, lines } = recordingLog();
    const { intake, port } = await embeddedBroker({}, { authenticate, log }, true);
    for (const id of ["d2", "d1"]) {
      const client = await wireClient(port);
      const topic = `tenant/acme/device/${id}/status`;
      const will = { topic, payload: Buffer.from(id), qos: 1, retain: false } as const;
      client.send({ ...connectPacket("w", login("d1")), cmd: "connect", will } as Parameters<
        WireClient["send"]
      >[0]);
      await until("CONNACK", () => client.packets.length === 1);
      // This connection gives way to newer ones of its device.
      for (let i = 0; i < 4; i++) await device(port, `${id}-${i}`, login("d1"));
      await until("it is gone", () => client.closed());
    }
    await until("its own", () => intake.messages.length > 0);
    expect(intake.texts()).toEqual(["d1"]);
    expect(lines.filter(({ msg }) => msg.includes("the last will"))).toMatchObject([
      { device_id: "d1", topic: "tenant/acme/device/d2/status" },
    ]);
  });

  test("a device that may not speak any more is disconnected, and nobody else", async () => {
    const revoked = new Set<string>();
    const stillProves = ({ deviceId }: { deviceId: string }) => Promise.resolve(!revoked.has(deviceId));
    const { source, port } = await embeddedBroker({}, { authenticate, stillProves });
    const [one, two] = [await device(port, "a", login("d1")), await device(port, "b", login("d2"))];
    revoked.add("d1");
    source.recheck((tenantId, deviceId) => tenantId === "acme" && deviceId === "d2");
    await ping(one);
    source.recheck();
    await until("it is gone", () => one.closed());
    await ping(two);
  });

  test("a client of MQTT 5 gets the answer that makes it fall back, and the log says who it was", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const client = await wireClient(port);
    client.socket.write(
      mqttPacket.generate({ ...connectPacket("five"), protocolVersion: 5 } as IConnectPacket, {
        protocolVersion: 5,
      }),
    );
    const answer = await new Promise<Buffer>((resolve) => client.socket.once("data", resolve));
    expect([...answer]).toEqual([0x20, 0x03, 0x00, 0x84, 0x00]);
    await until("closed", () => client.closed());
    expect(lines.find(({ msg }) => msg.includes("3.1.1 only"))).toMatchObject({
      remote: expect.stringContaining("127.0.0.1"),
    });
  });

  test("a bare token as user name, as devices of other platforms send it, is in no log line", async () => {
    const { log, lines } = recordingLog();
    const ownerOf = () => Promise.resolve(null);
    const { port } = await embeddedBroker({}, { authenticate, ownerOf, log });
    const token = "A1b2C3d4E5f6G7h8I9j0";
    for (const given of [{ username: token }, { username: token, password: "" }])
      for (const id of ["c", token]) expect(returnCodeOf(await device(port, id, given))).toBe(4);
    await until("a line", () => lines.some(({ msg }) => msg.startsWith("CONNECT refused")));
    expect(JSON.stringify(lines)).not.toContain(token);
    expect(lines.find(({ msg }) => msg.startsWith("CONNECT refused"))).toMatchObject({ username: "***" });
  });

  test("a token alone is a device's, which then is as it would be by name", async () => {
    const { log, lines } = recordingLog();
    const owners: Record<string, { tenantId: string; deviceId: string } | "several"> = {
      "token-of-d1": { tenantId: "acme", deviceId: "d1" },
      "token-of-two": "several",
    };
    const ownerOf = (token: string) =>
      token === "away" ? Promise.reject(new Error("away")) : Promise.resolve(owners[token] ?? null);
    const { intake, port } = await embeddedBroker({}, { authenticate, ownerOf, log }, true);
    const code = async (username: string) => returnCodeOf(await device(port, "meter", { username }));
    expect([await code("token-of-two"), await code("token-of-d9"), await code("away")]).toEqual([4, 4, 3]);
    await until("a line", () => lines.some(({ msg }) => msg.includes("several devices have the token")));
    const client = await device(port, "meter-token-of-d1", { username: "token-of-d1" });
    client.send(publishPacket(1, "own", { topic: "tenant/acme/device/d1/telemetry" }));
    await until("PUBACK", () => idsOf(client, "puback").length === 1);
    expect(intake.messages[0]).toMatchObject({ sender: "acme/d1:meter-***", speaker: { deviceId: "d1" } });
    const same = await device(port, "meter-***", login("d1"));
    await until("its other connection takes over", () => client.closed());
    await ping(same);
    expect(JSON.stringify(lines)).not.toContain("token-of-");
  });

  test("an anonymous client cannot take a device's connection over by an id that looks like its", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    const own = await device(port, "meter", login("d1"));
    expect(returnCodeOf(await device(port, "acme/d1:meter"))).toBe(0);
    await ping(own);
  });

  test("a refused token is in no log line; the cause is, once", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    for (let i = 0; i < 3; i += 1)
      await device(port, `c${i}`, { username: "acme/d1", password: "s3cret-token" });
    await until("a line", () => lines.some((line) => line.msg.includes("wrong credentials")));
    expect(lines.filter((line) => line.msg.includes("wrong credentials"))).toHaveLength(1);
    expect(JSON.stringify(lines)).not.toContain("s3cret-token");
  });

  test.each([
    ["the client id", { clientId: "s3cret-token", username: "acme/d1" }],
    ["part of a client id", { clientId: `d1-s3cret-token-${"x".repeat(60)}`, username: "acme/d1" }],
    ["the user name", { clientId: "c1", username: "s3cret-token" }],
    ["the device", { clientId: "", username: "acme/s3cret-token" }],
  ])("a refused token that is given as %s too is in no log line", async (_, { clientId, username }) => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    await device(port, clientId, { username, password: "s3cret-token" });
    await until("a line", () => lines.some(({ msg }) => msg.startsWith("CONNECT refused")));
    expect(JSON.stringify(lines)).not.toContain("s3cret");
  });

  test("a token that is the client id too is not in the log either if two connections are of that id", async () => {
    const { log, lines } = recordingLog();
    const { port } = await embeddedBroker({}, { authenticate, log });
    const same = login("d1");
    const first = await device(port, "token-of-d1", same);
    expect(returnCodeOf(await device(port, "token-of-d1", same))).toBe(0);
    await until("it was taken over", () => first.closed());
    expect(lines.some(({ msg }) => msg.includes("taken over"))).toBe(true);
    expect(JSON.stringify(lines)).not.toContain("token-of-d1");
  });
});

test("a certificate that has expired is called so, and not one that another CA signed", async () => {
  const [made, others] = [makeCertificates("acme/d1"), makeCertificates("acme/d1")];
  endLater(() => [made, others].forEach((each) => each.remove()));
  const { log, lines } = recordingLog();
  const tls = { BROKER_TLS_CERT: made.serverCert, BROKER_TLS_KEY: made.serverKey, BROKER_TLS_CA: made.ca };
  const { source } = await embeddedBroker({ BROKER_TLS_LISTEN: "127.0.0.1:0", ...tls }, { log });
  const at = { protocol: "mqtts", port: source.tlsAddress()?.port ?? 0, protocolVersion: 4 } as const;
  const refused = async (cert: string, key: string) => {
    const shown = { ca: readFileSync(made.ca), cert: readFileSync(cert), key: readFileSync(key) };
    await expect(connectAsync({ ...at, ...shown })).rejects.toThrow("Not authorized");
    return lines.at(-1)?.msg;
  };
  expect(await refused(endedCertificate(made), made.clientKey)).toBe(
    "CONNECT refused: its certificate has expired",
  );
  expect(await refused(others.clientCert, others.clientKey)).toBe(
    "CONNECT refused: its certificate is not one that BROKER_TLS_CA signed",
  );
});
