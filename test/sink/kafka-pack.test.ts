/** How large the batches are that go to Kafka, as the topic takes them. */
import { expect, test } from "bun:test";
import { code, KafkaError } from "../../src/kafka/error.ts";
import { createPacker } from "../../src/sink/kafka/pack.ts";
import { createEncoder } from "../../src/sink/kafka/record.ts";
import { events } from "../contract/entries.ts";

test("batches that were too large are small from then on, and large again once larger ones are taken", () => {
  const packer = createPacker(createEncoder("g", "device"), Date.now);
  const topic = (name: string) => ({ name, id: "", leaders: [1], may: () => undefined });
  const targets = { validated: topic("events"), rejected: topic("errors") };
  let bytesMax = 20_000;
  /** @returns the sizes of the batches that are taken at last, and how often some were refused */
  function deliver() {
    packer.begin("epoch-1");
    for (let tries = 0; ; tries++) {
      const batches = packer.pack(events(1, 2_000), targets).flatMap((load) => load.batches);
      const faults = batches
        .filter(({ bytes }) => bytes > bytesMax)
        .map((batch) => ({ batch, error: new KafkaError(code.messageTooLarge, "MESSAGE_TOO_LARGE") }));
      if (faults.length === 0) {
        packer.taken();
        return { count: batches.length, tries };
      }
      packer.split(faults);
    }
  }
  expect(deliver().count).toBeGreaterThan(30);
  // While it stays so, larger ones are tried more and more seldom.
  const refused = Array.from({ length: 200 }, deliver).filter(({ tries }) => tries > 0);
  expect(refused.length).toBeLessThan(10);
  bytesMax = 1_000_000;
  const after = Array.from({ length: 100 }, deliver);
  expect(after.at(-1)).toEqual({ count: 1, tries: 0 });
});
