import { expect, test } from "bun:test";
import { aBody, aDevice, aMessage, aToken } from "../kit/builders.ts";
import { body, court, deferredOf, dev, entryOf, metrics, pendingOf, withoutDevice } from "./court.ts";

/** Remarks on accepted messages. */
function remark(message: ReturnType<typeof aMessage>): string | null {
  const entry = entryOf(court({ policy: dev }).judge.judge(message));
  expect(entry).toMatchObject({ kind: "event", reason: null });
  return entry.detail;
}

test.each([
  ["none", body({ metrics: undefined }), "no metrics"],
  ["null", body({ metrics: null }), "no metrics"],
  ["empty", body({ metrics: {} }), "metrics holds no value"],
  ["only nulls", body({ metrics: { a: null, b: null } }), "metrics holds no value"],
  [
    "readings beside it",
    body({ metrics: undefined, temperature: 21.5, data: { hum: [40] }, unit: "C", channel: { name: "a" } }),
    "no metrics; beside it: temperature, data",
  ],
  [
    "many readings beside it",
    body({ metrics: undefined, ...Object.fromEntries("abcdefgh".split("").map((key) => [key, 1])) }),
    "no metrics; beside it: a, b, c, d, e",
  ],
])("telemetry whose metrics are %s is accepted, with the remark that it has none", (_, message, wanted) => {
  expect(remark(message)).toBe(wanted);
});

test.each([
  ["a number", metrics({ a: 0 })],
  ["false", metrics({ a: false })],
  ["text, which InfluxDB keeps as text", metrics({ a: "on" })],
  ["one value among nulls", metrics({ a: null, b: 1 })],
  [
    "none in another type of message",
    aMessage(aBody({ msg_type: "alarm", metrics: undefined }), {
      topic: "tenant/acme/device/dev-0001/alarm",
    }),
  ],
])("there is no remark on %s", (_, message) => {
  expect(remark(message)).toBeNull();
});

test("the remark is kept while a message waits for the registry, and contains no token", () => {
  const it = court({ policy: dev });
  const message = body({ metrics: undefined, [aToken]: 1 });
  const deferred = deferredOf(
    it.judge.resume(pendingOf(withoutDevice(it).judge.judge(message)), "unavailable"),
  );
  expect(deferred).toMatchObject({ kind: "deferred", detail: "no metrics; beside it: ***" });
  expect(it.judge.rejudge(deferred, aDevice())).toMatchObject({
    kind: "event",
    detail: "no metrics; beside it: ***",
  });
});
