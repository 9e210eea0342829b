import { afterEach, describe, expect, test } from "bun:test";
import mqtt from "mqtt";
import { parseFaults } from "../../src/simulator/fault.ts";
import { createFleet, type FleetMessage } from "../../src/simulator/fleet.ts";
import { publishFleet, type PublishOptions } from "../../src/simulator/publisher.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { startAedes, startScripted, type TestBroker } from "./brokers.ts";

const fleetOf = (faults = parseFaults("all=0.01")) =>
  createFleet({ seed: 3, devices: 20, tenants: ["demo"], faults });

function publish(brokerUrl: string, options: Partial<PublishOptions> = {}) {
  return publishFleet({
    brokerUrl,
    fleet: fleetOf(),
    rate: 0,
    qos: 1,
    protocolVersion: 4,
    connections: 3,
    window: 200,
    drainMs: 20_000,
    clientIdPrefix: "test",
    ...options,
  });
}

const keyOf = ({ topic, payload }: { topic: string; payload: Buffer | string }) =>
  `${topic} ${payload.toString("latin1" as BufferEncoding)}`;

let broker: TestBroker | undefined;
afterEach(async () => {
  await broker?.crash();
  broker = undefined;
});

describe("publishing to an embedded broker", () => {
  test("sends the count, gets every acknowledgement and says what to expect of the gateway", async () => {
    const received: string[] = [];
    broker = await startAedes((packet, done) => {
      received.push(keyOf(packet));
      setImmediate(done);
    });
    const acknowledged: FleetMessage[] = [];
    const result = await publish(broker.url, {
      count: 3000,
      onAcknowledged: (m) => void acknowledged.push(m),
    });
    expect(result).toMatchObject({ sent: 3000, acknowledged: 3000, refused: 0, unanswered: 0 });
    expect(received.toSorted()).toEqual(acknowledged.map(keyOf).toSorted());
    const expected: Record<string, number> = {};
    for (const message of acknowledged) expected[message.expected] = (expected[message.expected] ?? 0) + 1;
    expect(result.expected).toEqual(expected);
    expect(Object.keys(expected).length).toBeGreaterThan(15);
    expect(result.latency.p50Ms).toBeGreaterThan(0);
  });

  test("keeps each device's order, even with one connection per device", async () => {
    const received = new Map<string, string[]>();
    broker = await startAedes((packet, done) => {
      received.set(packet.topic, [...(received.get(packet.topic) ?? []), keyOf(packet)]);
      done();
    });
    const sent = new Map<string, string[]>();
    const fleet = fleetOf({ burst: 0.1, reordering: 0.1 });
    const recorded = {
      devices: fleet.devices,
      next(atMs: number) {
        const message = fleet.next(atMs);
        sent.set(message.topic, [...(sent.get(message.topic) ?? []), keyOf(message)]);
        return message;
      },
    };
    await publish(broker.url, { count: 1000, connections: 22, fleet: recorded });
    expect(received).toEqual(sent);
  });

  test("never has more unanswered than the window", async () => {
    const held: (() => void)[] = [];
    let most = 0;
    broker = await startAedes((_packet, done) => {
      most = Math.max(most, held.push(done));
      // Acknowledges one message per turn, so that the publisher always wants to send more than it may.
      setImmediate(() => held.shift()?.());
    });
    const result = await publish(broker.url, { count: 400, window: 7 });
    expect(result.acknowledged).toBe(400);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(7);
  });

  test("QoS 0 and QoS 2 arrive in full", async () => {
    for (const qos of [0, 2] as const) {
      const received: string[] = [];
      const own = await startAedes((packet, done) => {
        received.push(packet.topic);
        done();
      });
      const result = await publish(own.url, { count: 500, qos });
      expect(result).toMatchObject({ sent: 500, acknowledged: 500, unanswered: 0 });
      while (received.length < 500) await Bun.sleep(5);
      await own.crash();
      expect(received).toHaveLength(500);
    }
  });

  test("stops at the signal, with the answers to what it sent", async () => {
    const stop = new AbortController();
    broker = await startAedes((_packet, done) => setImmediate(done));
    let acknowledged = 0;
    const onAcknowledged = () => void (++acknowledged === 300 && stop.abort());
    const result = await publish(broker.url, { signal: stop.signal, onAcknowledged });
    expect(result.sent).toBe(result.acknowledged);
    expect(result.sent).toBeGreaterThanOrEqual(300);
    expect(result.sent).toBeLessThanOrEqual(300 + 200);
  });

  test("a broker that dies in the middle leaves messages unanswered, and none is counted as acknowledged that it did not answer", async () => {
    const answered = new Set<string>();
    const stop = new AbortController();
    let seen = 0;
    const dying = await startAedes((packet, done) => {
      seen += 1;
      if (seen === 501) setImmediate(() => void dying.crash().then(() => stop.abort()));
      if (seen > 500) return;
      answered.add(keyOf(packet));
      done();
    });
    const acknowledged: FleetMessage[] = [];
    const result = await publish(dying.url, {
      count: 2000,
      drainMs: 300,
      signal: stop.signal,
      onAcknowledged: (message) => void acknowledged.push(message),
    });
    expect(result.acknowledged).toBe(acknowledged.length);
    expect(result.acknowledged).toBeGreaterThan(0);
    expect(acknowledged.filter((message) => !answered.has(keyOf(message)))).toEqual([]);
    expect(result.unanswered).toBeGreaterThan(0);
    expect(result.sent).toBe(result.acknowledged + result.refused + result.unanswered);
  });

  test("after a lost connection sends the unanswered again, with DUP", async () => {
    const fresh: string[] = [];
    const again: string[] = [];
    const flaky = await startAedes((packet, done) => {
      (packet.dup ? again : fresh).push(keyOf(packet));
      if (fresh.length === 300) setImmediate(() => void flaky.crash().then(() => flaky.revive()));
      if (fresh.length < 280 || fresh.length > 300 || packet.dup) setImmediate(done);
    });
    broker = flaky;
    const result = await publish(flaky.url, { count: 1000, fleet: fleetOf({}) });
    expect(result).toMatchObject({ sent: 1000, acknowledged: 1000, unanswered: 0 });
    expect(again.length).toBeGreaterThanOrEqual(20);
    // Nothing comes twice without the flag, and nothing is missing.
    expect(new Set(fresh).size).toBe(fresh.length);
    expect(new Set([...fresh, ...again]).size).toBe(1000);
  });

  test("a broker that is not there is an error that names it, without its password", async () => {
    const failure = publish("mqtt://me:secret@127.0.0.1:1");
    await expect(failure).rejects.toThrow("cannot connect to mqtt://me:***@127.0.0.1:1");
  });

  test("a broker that does not speak MQTT 5 is an error that says so", async () => {
    const own = await startAedes((_packet, done) => done());
    broker = own;
    const failure = await publish(own.url, { protocolVersion: 5 }).catch((error: unknown) => error as Error);
    expect((failure as Error).cause).toBeInstanceOf(Error);
    expect(((failure as Error).cause as Error).message).toContain("protocol version");
  });
});

describe("publishing over MQTT 5", () => {
  test("obeys the broker's Receive Maximum", async () => {
    const held: ((reasonCode: number) => void)[] = [];
    let most = 0;
    broker = await startScripted(5, (_packet, answer) => {
      most = Math.max(most, held.push(answer));
      setImmediate(() => held.shift()?.(0));
    });
    const result = await publish(broker.url, { protocolVersion: 5, count: 300, connections: 1 });
    expect(result.acknowledged).toBe(300);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(5);
  });

  test("a PUBACK with an error is a refusal, one without subscribers is not", async () => {
    const codes = [0x00, 0x10, 0x87, 0x97];
    let seen = 0;
    broker = await startScripted(100, (_packet, answer) => answer(codes[seen++ % codes.length] ?? 0));
    const result = await publish(broker.url, { protocolVersion: 5, count: 400 });
    expect(result).toMatchObject({ sent: 400, acknowledged: 200, refused: 200, unanswered: 0 });
    const expected = Object.values(result.expected).reduce((sum, count) => sum + count, 0);
    expect(expected).toBe(200);
  });
});

const available = mosquittoAvailable();
describe.skipIf(!available)(`publishing to Mosquitto${available ? "" : " (skipped: not installed)"}`, () => {
  test.each([4, 5] as const)(
    "delivers every message to a subscriber, protocol version %d",
    async (protocolVersion) => {
      const mosquitto = await startMosquitto({ lines: ["max_queued_messages 0"] });
      try {
        const url = `mqtt://127.0.0.1:${mosquitto.port}`;
        const received: string[] = [];
        const subscriber = await mqtt.connectAsync({
          host: "127.0.0.1",
          port: mosquitto.port,
          protocolVersion: 5,
        });
        subscriber.on("message", (topic, payload) => void received.push(keyOf({ topic, payload })));
        await subscriber.subscribeAsync("tenant/+/device/+/+", { qos: 1 });
        const sent: string[] = [];
        const onAcknowledged = (message: FleetMessage) => void sent.push(keyOf(message));
        const result = await publish(url, { protocolVersion, count: 2000, onAcknowledged });
        expect(result.acknowledged).toBe(2000);
        while (received.length < 2000) await Bun.sleep(10);
        await subscriber.endAsync();
        expect(received.toSorted()).toEqual(sent.toSorted());
      } finally {
        await mosquitto.dispose();
      }
    },
  );
});
