/** What becomes of the bytes that came from the broker: a chunk goes as soon as its messages are read, and not before. */
import { describe, expect, test } from "bun:test";
import type { Message } from "../../../src/core/message.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, until } from "../../kit/source.ts";
import { publishPacket, wireBroker } from "../../kit/wire.ts";

const ends = endsAfterEach();

const count = 1_000;
const text = (n: number) => `${n}`.padEnd(1_000, ".");

/** @param isRead what the intake says of each @returns how many bytes of the payloads are still there once all have come */
async function bytesLeft(isRead: (n: number) => boolean): Promise<number> {
  const behindConnack = Array.from({ length: count }, (_, i) => publishPacket(i + 1, text(i)));
  const broker = await wireBroker({ behindConnack });
  ends.push(() => broker.close());
  const source = mqttSource({ MQTT_URL: `mqtt://127.0.0.1:${broker.port}` });
  ends.push(() => source.close());
  const messages: Message[] = [];
  const seen: string[] = [];
  await source.start({
    ...fakeIntake(),
    receive(message) {
      seen.push(Buffer.from(message.payload).toString());
      return isRead(messages.push(message) - 1);
    },
  });
  await until("all of them", () => messages.length === count);
  expect(seen).toEqual(Array.from({ length: count }, (_, i) => text(i)));
  return messages.reduce((sum, { payload }) => sum + payload.length, 0);
}

describe("the bytes of the broker's chunks", () => {
  test("are let go of once all their messages are read", async () => {
    // A last chunk that is small is left to the collector.
    expect(await bytesLeft(() => true)).toBeLessThan((count * 1_000) / 2);
  });

  test("stay while a message of theirs waits", async () => {
    expect(await bytesLeft(() => false)).toBe(count * 1_000);
  });

  test("stay whole for one that waits among others that are read", async () => {
    const left = await bytesLeft((n) => n !== 0);
    expect(left).toBeGreaterThanOrEqual(1_000);
    expect(left).toBeLessThan(count * 1_000);
  });
});
