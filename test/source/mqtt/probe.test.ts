/** What `sluice check` learns of a port that says nothing to CONNECT. */
import { expect, test } from "bun:test";
import { probeMqtt } from "../../../src/source/mqtt/probe.ts";
import { mqttSettings } from "../../../src/source/mqtt/options.ts";
import { settingsOf } from "../../kit/source.ts";

const mqtt5 = 5;
const accepted = Buffer.from([0x20, 2, 0, 0]);

/** Silent to MQTT 5. @param answers whether it speaks 3.1.1 @returns how long each connection lasted, too */
function silent(answers: boolean) {
  const lasted: number[] = [];
  const began = new Map<unknown, number>();
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void began.set(socket, performance.now()),
      data(socket, data) {
        const version = data[8];
        if (answers && data[0] === 0x10 && version !== mqtt5) socket.write(accepted);
      },
      close: (socket) => void lasted.push(performance.now() - (began.get(socket) ?? 0)),
    },
  });
  return {
    server,
    lasted,
    settings: settingsOf(mqttSettings, { MQTT_URL: `mqtt://127.0.0.1:${server.port}` }),
  };
}

test("what is silent to MQTT 5 and to 3.1.1 is waited for in full once only", async () => {
  const { server, lasted, settings } = silent(false);
  const said = await probeMqtt(settings).catch(String);
  server.stop(true);
  expect(said).toContain("does not answer CONNECT");
  const [first = 0, second = 0] = lasted;
  expect(lasted).toHaveLength(2);
  expect(second).toBeLessThan(0.75 * first);
});

test("a broker that is silent to MQTT 5 alone is found", async () => {
  const { server, settings } = silent(true);
  const said = await probeMqtt(settings).catch(String);
  server.stop(true);
  expect(said).toContain("speaks MQTT 3.1.1");
});
