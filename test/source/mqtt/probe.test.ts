/** What `sluice check` learns of a port that says nothing to CONNECT. */
import { expect, spyOn, test } from "bun:test";
import { probeMqtt } from "../../../src/source/mqtt/probe.ts";
import { mqttSettings } from "../../../src/source/mqtt/options.ts";
import { settingsOf } from "../../kit/source.ts";

const mqtt5 = 5;
const accepted = Buffer.from([0x20, 2, 0, 0]);

/** Silent to MQTT 5. @param answers whether it speaks 3.1.1 @returns the version that each connection asked for, too */
function silent(answers: boolean) {
  const versions: unknown[] = [];
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        if (data[0] !== 0x10) return;
        versions.push(data[8]);
        if (answers && data[8] !== mqtt5) socket.write(accepted);
      },
    },
  });
  return {
    server,
    versions,
    settings: settingsOf(mqttSettings, { MQTT_URL: `mqtt://127.0.0.1:${server.port}` }),
  };
}

/** Has each wait of a second or more be a tenth of that. @returns how long they were meant to be */
function hastened(): { readonly waits: number[] } & Disposable {
  const waits: number[] = [];
  const sets = setTimeout;
  const spy = spyOn(globalThis, "setTimeout").mockImplementation(((call: () => void, ms = 0) => {
    if (ms < 1_000) return sets(call, ms);
    waits.push(ms);
    return sets(call, ms / 10);
  }) as typeof setTimeout);
  return { waits, [Symbol.dispose]: () => spy.mockRestore() };
}

test("what is silent to MQTT 5 and to 3.1.1 is waited for in full once only", async () => {
  const { server, versions, settings } = silent(false);
  using clock = hastened();
  const said = await probeMqtt(settings).catch(String);
  server.stop(true);
  expect(said).toContain("does not answer CONNECT");
  expect(versions).toEqual([mqtt5, 4]);
  expect(clock.waits).toEqual([10_000, 4_000]);
});

test("a broker that is silent to MQTT 5 alone is found", async () => {
  const { server, settings } = silent(true);
  using _ = hastened();
  const said = await probeMqtt(settings).catch(String);
  server.stop(true);
  expect(said).toContain("speaks MQTT 3.1.1");
});
