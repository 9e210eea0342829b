/** Many entries refused at once cost one write to the disk, and everything else waits no longer than that. */
import { afterEach, expect, test } from "bun:test";
import { delivery, events } from "../contract/entries.ts";
import { openInflux } from "../kit/influxsink.ts";
import { anEntry, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

test("InfluxDB refuses every second line of a batch: they become dead letters together", async () => {
  const data = events(1, 10).map(({ seq }) => ({ error_message: "no", line_number: 2 * seq }));
  const answer = () => new Response(JSON.stringify({ error: "partial write", data }), { status: 400 });
  const influx = openInflux({ url: "http://influx.test", api: "v3" }, undefined, () =>
    Promise.resolve(answer()),
  );
  const given = delivery(events(1, 20));
  const sizes: number[] = [];
  const outcome = await influx.sink.deliver({
    ...given,
    refuse: (refusals) => void sizes.push(refusals.length),
  });
  await influx.dispose();
  expect(outcome).toEqual({ delivered: 10, ignored: 0, refused: 10 });
  expect(sizes).toEqual([10]);
});

test("dead letters that are written together are all there, or none is", () => {
  const { deadLetters } = kit.spool();
  const letters = [1, 2, 3].map((seq) => ({ epoch: "e", entry: anEntry({ seq }), why: "no" }));
  const put = deadLetters.put.bind(deadLetters);
  deadLetters.put = (sink, epoch, entry, why) => {
    if (entry.seq === 3) throw new Error("database or disk is full");
    put(sink, epoch, entry, why);
  };
  expect(() => deadLetters.putAll("influx", letters)).toThrow("disk is full");
  expect(deadLetters.totals().count).toBe(0);
  deadLetters.put = put;
  deadLetters.putAll("influx", letters);
  expect(deadLetters.totals().count).toBe(3);
});
