/** A batch of Kafka is handed to the intake in its turns, so that look-ups, drains and HTTP have theirs meanwhile. */
import { afterEach, expect, test } from "bun:test";
import { turnMs } from "../../src/intake/turn.ts";
import { KafkaMessage } from "../../src/source/kafka/kafka-message.ts";
import { Partition } from "../../src/source/kafka/partition.ts";
import { hand } from "../../src/source/kafka/reader.ts";
import { intake, numberOf } from "../kit/intake.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const messagesMax = 120;

/** Hands a batch over to an intake that takes a millisecond per message. */
function handed() {
  const part = intake(kit, { available: true, devices: new Set(["a"]), finds: 0 });
  part.state.acceptMs = 1;
  part.cached.add("a");
  const topic = { name: "events", id: "", leaders: [0], may: () => undefined };
  const partition = new Partition(topic, 0, 0);
  const messages = Array.from({ length: messagesMax }, (_, n) => {
    const payload = Buffer.from(JSON.stringify({ n }));
    return new KafkaMessage(
      partition,
      n,
      { topic: "tenant/acme/device/a/telemetry", payload, isJudged: false },
      0,
    );
  });
  const stopping = new AbortController();
  const done = hand(messages, { intake: part.port, signal: stopping.signal });
  /** What others see, once per turn, until nothing more comes. */
  const seen = async () => {
    const counts: number[] = [];
    for (let last = -1; part.books.totals().accepted !== last;) {
      last = part.books.totals().accepted;
      counts.push(last);
      expect(part.balanced()).toBe(true);
      part.clock.advance(0);
      await Bun.sleep(0);
    }
    return counts;
  };
  return { ...part, done, seen, stopping, partition };
}

test("the others have their turn after every so many milliseconds, and the order stays", async () => {
  const part = handed();
  const seen = await part.seen();
  expect(seen.at(-1)).toBe(messagesMax);
  // And the one message that was put off.
  const longest = Math.max(...seen.map((count, i) => count - (seen[i - 1] ?? 0)));
  expect(longest).toBeLessThanOrEqual(turnMs + 1);
  expect(await part.done).toBe(true);
  part.clock.advance(1_000);
  expect(part.durable.map(({ payload }) => numberOf(payload))).toEqual([...Array(messagesMax).keys()]);
  expect(part.partition.next).toBe(messagesMax);
});

test("if the gateway stops meanwhile, nothing more of it is handed over", async () => {
  const part = handed();
  part.stopping.abort();
  expect(await part.seen()).toEqual([turnMs]);
  expect(await part.done).toBe(false);
  expect(part.partition.next).toBe(turnMs);
});
