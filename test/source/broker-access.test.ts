import { afterEach, describe, expect, test } from "bun:test";
import { cleanUp, device, embeddedBroker, idsOf, ping, returnCodeOf } from "../kit/embedded.ts";
import { recordingLog, until } from "../kit/source.ts";
import { publishPacket } from "../kit/wire.ts";

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
  ])("where it is required: %s", async (_name, given, returnCode) => {
    const { port } = await embeddedBroker({ BROKER_REQUIRE_AUTH: "1" }, { authenticate });
    expect(returnCodeOf(await device(port, "c", given))).toBe(returnCode);
  });

  test("where it is not: anonymous is let in, wrong credentials are not", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    expect(returnCodeOf(await device(port, "a"))).toBe(0);
    expect(returnCodeOf(await device(port, "b", { username: "acme/d1", password: "wrong" }))).toBe(4);
  });

  test("credentials that cannot be checked here are refused", async () => {
    const { port } = await embeddedBroker();
    expect(returnCodeOf(await device(port, "b", login("d1")))).toBe(3);
  });

  test("a device that proved itself publishes under its own topic only", async () => {
    const { intake, port } = await embeddedBroker({}, { authenticate }, true);
    const good = await device(port, "good", login("d1"));
    good.send(publishPacket(1, "own", { topic: "tenant/acme/device/d1/telemetry" }));
    await until("PUBACK", () => idsOf(good, "puback").length === 1);
    for (const topic of ["tenant/acme/device/d2/telemetry", "tenant/acme/device/d10/telemetry", "other"]) {
      const bad = await device(port, "bad", login("d1"));
      bad.send(publishPacket(1, "not own", { topic }));
      await until("closed", () => bad.closed());
      expect(idsOf(bad, "puback")).toEqual([]);
    }
    expect(intake.texts()).toEqual(["own"]);
  });

  test("a device that proved itself subscribes under its own topic only", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    const client = await device(port, "c", login("d1"));
    const filters = [
      "tenant/acme/device/d1/#",
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
      granted: [1, 128, 128, 128],
    });
  });

  test("a device cannot take over the connection of another by its client id", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    const first = await device(port, "meter", login("d1"));
    expect(returnCodeOf(await device(port, "meter", login("d2")))).toBe(2);
    await ping(first);
    expect(returnCodeOf(await device(port, "meter", login("d1")))).toBe(0);
    await until("its own does", () => first.closed());
  });

  test("a client id that somebody without credentials holds is no obstacle to a device that proves itself", async () => {
    const { port } = await embeddedBroker({}, { authenticate });
    const squatter = await device(port, "meter");
    expect(returnCodeOf(await device(port, "meter", login("d1")))).toBe(0);
    await until("the other is gone", () => squatter.closed());
    expect(returnCodeOf(await device(port, "meter"))).toBe(2);
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
});
