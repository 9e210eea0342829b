/** How the source reconnects: when, with which log lines, and until when. */
import { expect, test } from "bun:test";
import { type Clock, systemClock } from "../../../src/core/clock.ts";
import { type Log, silentLog } from "../../../src/core/log/log.ts";
import { answerMs } from "../../../src/source/mqtt/options.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, recordingLog, until } from "../../kit/source.ts";
import { type WireBrokerOptions, wireBroker } from "../../kit/wire.ts";

const ends = endsAfterEach();

/** Records the wait before each try instead of waiting. The broker keeps its time to answer. */
function impatientClock() {
  const waits: number[] = [];
  const clock: Clock = {
    ...systemClock,
    after(ms, run) {
      if (ms === answerMs) return systemClock.after(ms, run);
      waits.push(ms);
      return systemClock.after(1, run);
    },
  };
  return { clock, waits };
}

async function dialling(options: WireBrokerOptions, clock: Clock, log: Log = silentLog) {
  const broker = await wireBroker(options);
  const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, MQTT_VERSION: "5" };
  const source = mqttSource(env, { clock, log, random: () => 1 });
  ends.push(
    () => broker.close(),
    () => source.close(),
  );
  await source.start(fakeIntake());
  return { broker, source };
}

const REFUSED = { connack: () => ({ reasonCode: 134 }) };

test("the wait doubles up to its bound, and the back-off does not end", async () => {
  const { clock, waits } = impatientClock();
  const { broker } = await dialling(REFUSED, clock);
  await until("9 tries", () => broker.connections.length >= 9);
  expect(waits.slice(0, 8)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("a wait ends once what it lacked may have been corrected; no second connection comes of it", async () => {
  const asleep: Clock = {
    ...systemClock,
    after: (ms, run) => (ms === answerMs ? systemClock.after(ms, run) : { cancel() {} }),
  };
  let asked = 0;
  const connack = () => ({ reasonCode: asked++ === 0 ? 134 : 0 });
  const { broker, source } = await dialling({ connack }, asleep);
  await until("a refusal", () => source.status().detail.includes("refuses"));
  source.retryNow?.();
  source.retryNow?.();
  await until("a connection", () => source.status().connected);
  source.retryNow?.();
  expect(broker.connections.length).toBe(2);
});

test("a cause is logged once, not at every retry, and again when it changes", async () => {
  const { clock } = impatientClock();
  const { log, lines } = recordingLog();
  const connack = (connection: number) => ({ reasonCode: connection < 4 ? 134 : connection < 8 ? 133 : 0 });
  const { source } = await dialling({ connack }, clock, log);
  await until("a connection", () => source.status().connected);
  expect(lines.map((line) => line.msg.replace(/^mqtt:\S+ /, ""))).toEqual([
    "refuses the user name or password: check MQTT_USERNAME and MQTT_PASSWORD",
    "refuses the client id: check MQTT_CLIENT_ID",
    "connected, MQTT 5, subscribed to tenant/+/device/+/+",
  ]);
});

test("causes that take turns are logged once each", async () => {
  const { clock } = impatientClock();
  const { log, lines } = recordingLog();
  const connack = (connection: number) => ({ reasonCode: connection < 10 ? 133 + (connection % 2) : 0 });
  const { source } = await dialling({ connack }, clock, log);
  await until("a connection", () => source.status().connected);
  expect(lines.filter(({ level }) => level === 40)).toHaveLength(2);
});

test("once a rival is suspected, it is still logged that the broker is away, and back", async () => {
  const { clock } = impatientClock();
  const { log, lines } = recordingLog();
  const connack = (connection: number) => ({ reasonCode: connection > 4 && connection < 9 ? 134 : 0 });
  const { broker, source } = await dialling({ connack }, clock, log);
  for (let n = 0; n < 5; n += 1) {
    await until("a connection", () => broker.connections.length > n && source.status().connected);
    broker.connections[n]?.destroy();
    await until("its end", () => !source.status().connected || broker.connections.length > n + 1);
  }
  await until("a connection again", () => broker.connections.length > 9 && source.status().connected);
  const told = lines.map(({ msg }) => msg.replace(/^mqtt:\S+ /, ""));
  expect(told.filter((text) => text.includes("another client with the same id")).length).toBe(1);
  expect(told.slice(-2)).toEqual([
    "refuses the user name or password: check MQTT_USERNAME and MQTT_PASSWORD",
    "connected, MQTT 5, subscribed to tenant/+/device/+/+",
  ]);
  expect(String(Object(source.status())["rival"])).toContain("another client with the same id");
});

test("after close it does not come back", async () => {
  const { clock } = impatientClock();
  const { broker, source } = await dialling(REFUSED, clock);
  await until("2 tries", () => broker.connections.length >= 2);
  await source.close();
  // A connection that was dialled before may be accepted only now.
  await Bun.sleep(50);
  const before = broker.connections.length;
  await Bun.sleep(50);
  expect(broker.connections.length).toBe(before);
});

test("when told to reconnect, it disconnects and connects again by itself", async () => {
  const { clock } = impatientClock();
  const { broker, source } = await dialling({}, clock);
  source.reconnect();
  await until("a second connection", () => broker.connections.length === 2 && source.status().connected);
  expect(source.status().reconnects).toBe(1);
});
