/** What is asked of a broker, by what it makes of CONNECT: one that does not know MQTT 5, or takes no last will, need not say so. */
import { describe, expect, test } from "bun:test";
import { createServer, type AddressInfo, type Socket } from "node:net";
import mqttPacket from "mqtt-packet";
import { probeMqtt } from "../../../src/source/mqtt/probe.ts";
import { type MqttVersion, mqttSettings } from "../../../src/source/mqtt/options.ts";
import { Closed } from "../../../src/source/mqtt/words.ts";
import { createConnectChoice } from "../../../src/source/mqtt/connect-choice.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, settingsOf, until } from "../../kit/source.ts";

const ends = endsAfterEach();

const [ignored, lost, refused] = [
  new Closed(false),
  new Closed(true),
  Object.assign(new Error(), { code: 1 }),
];

/** The versions of one connection after the other, each of which ended so; "answered" and lost later. */
function spoken(how: readonly (Error | "answered")[], versions: readonly MqttVersion[] = [5, 4]): number[] {
  const choice = createConnectChoice(versions, false);
  return how.map((cause) => {
    const { version } = choice.asked;
    if (cause === "answered" && !choice.answered()) choice.ended(new Error("once more"));
    else choice.ended(cause === "answered" ? lost : cause);
    return version;
  });
}

describe("the choice", () => {
  test("a refusal is 3.1.1 at once, for one connection", () => {
    expect(spoken([refused, "answered", refused, "answered"])).toEqual([5, 4, 5, 4]);
  });

  test("no answer is 3.1.1 at the second time; what answers then is asked once more for MQTT 5", () => {
    expect(spoken([ignored, ignored, "answered", ignored, "answered", ignored, "answered"])).toEqual([
      5, 5, 4, 5, 4, 5, 4,
    ]);
  });

  test("a broker that was only starting, or is away, is MQTT 5", () => {
    expect(spoken([ignored, ignored, "answered", "answered", ignored, "answered"])).toEqual([
      5, 5, 4, 5, 5, 5,
    ]);
    const away = Object.assign(new Error(), { code: "ECONNREFUSED" });
    expect(spoken([away, away, away, lost, lost, lost])).toEqual([5, 5, 5, 5, 5, 5]);
  });

  test("one that takes long to start is MQTT 5, whatever it answered first", () => {
    const choice = createConnectChoice([5, 4], false);
    for (let i = 0; i < 4; i += 1) choice.ended(ignored);
    expect([choice.asked.version, choice.answered(), choice.ended(lost)]).toEqual([4, false, true]);
    expect([choice.asked.version, choice.answered()]).toEqual([5, true]);
  });

  test("a version that is set stays", () => {
    expect(spoken([ignored, ignored, refused], [5])).toEqual([5, 5, 5]);
    expect(spoken([ignored, "answered", ignored], [4])).toEqual([4, 4, 4]);
  });
});

/** As RabbitMQ before 3.13: ends the connection at MQTT 5 without a word. */
async function oldBroker(returnCode = 0): Promise<{ port: number; asked: number[] }> {
  const asked: number[] = [];
  const serve = (socket: Socket) => {
    const parser = mqttPacket.parser();
    parser.on("packet", (packet) => {
      if (packet.cmd === "connect") {
        const { protocolVersion = 4 } = packet;
        asked.push(protocolVersion);
        if (protocolVersion === 5) socket.destroy();
        else socket.write(mqttPacket.generate({ cmd: "connack", sessionPresent: false, returnCode }));
      } else if (packet.cmd === "subscribe")
        socket.write(mqttPacket.generate({ cmd: "suback", messageId: packet.messageId ?? 0, granted: [1] }));
    });
    socket.on("data", (chunk: Buffer) => void parser.parse(chunk));
    socket.on("error", () => {});
  };
  const server = createServer(serve);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  ends.push(() => void server.close());
  return { port: (server.address() as AddressInfo).port, asked };
}

test("with a broker that ends the connection at MQTT 5 the source speaks 3.1.1, and check says so", async () => {
  const { port, asked } = await oldBroker();
  const env = { MQTT_URL: `mqtt://127.0.0.1:${port}` };
  const source = mqttSource(env);
  ends.push(() => source.close());
  await source.start(fakeIntake());
  await until("a connection", () => source.status().connected);
  expect(asked).toEqual([5, 5, 4, 5, 4]);
  expect(source.status()).toMatchObject({ reconnects: 0 });
  expect(await probeMqtt(settingsOf(mqttSettings, env))).toContain("speaks MQTT 3.1.1");
});

test("check says why such a broker refuses us, and not that it does not answer", async () => {
  const { port } = await oldBroker(4);
  const settings = settingsOf(mqttSettings, { MQTT_URL: `mqtt://127.0.0.1:${port}` });
  const why = await probeMqtt(settings).catch((error: unknown) => String(error));
  expect(why).toContain("refuses the user name or password");
});
