import { describe, expect, test } from "bun:test";
import { MqttMessage, createOutstanding } from "../../../src/source/mqtt/outstanding.ts";

const message = (packetId: number, qos: 1 | 2 = 1) =>
  new MqttMessage("tenant/a/device/b/telemetry", new Uint8Array(), qos, false, false, packetId, 0);

describe("outstanding", () => {
  test("acknowledges nothing before the oldest message is durable", () => {
    const queue = createOutstanding(false);
    const [first, second] = [message(1), message(2)];
    queue.push(first);
    queue.push(second);
    second.isDurable = true;
    expect(queue.takeAcks()).toBeUndefined();
    first.isDurable = true;
    expect(queue.takeAcks()).toEqual(Buffer.from([0x40, 2, 0, 1, 0x40, 2, 0, 2]));
    expect(queue.size()).toBe(0);
  });

  test("answers QoS 2 with PUBREC, and encodes both bytes of the packet identifier", () => {
    const queue = createOutstanding(false);
    const last = message(0xfffe, 2);
    queue.push(last);
    last.isDurable = true;
    expect(queue.takeAcks()).toEqual(Buffer.from([0x50, 2, 0xff, 0xfe]));
  });

  test("keeps order and loses none through more messages than it keeps dead slots", () => {
    const queue = createOutstanding(false);
    const sent: number[] = [];
    const all: MqttMessage[] = [];
    for (let i = 1; i <= 20_000; i += 1) {
      const one = message(i);
      all.push(one);
      queue.push(one);
      if (i % 7 !== 0) continue;
      for (const each of all.splice(0, 5)) each.isDurable = true;
      const acks = queue.takeAcks() ?? Buffer.alloc(0);
      for (let at = 0; at < acks.length; at += 4) sent.push(acks.readUInt16BE(at + 2));
    }
    for (const rest of all) rest.isDurable = true;
    const acks = queue.takeAcks() ?? Buffer.alloc(0);
    for (let at = 0; at < acks.length; at += 4) sent.push(acks.readUInt16BE(at + 2));
    expect(sent).toEqual(Array.from({ length: 20_000 }, (_, i) => i + 1));
  });
});
