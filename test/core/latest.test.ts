/** The latest of each device and metric among some entries. */
import { expect, test } from "bun:test";
import type { Entry, Event } from "../../src/core/entry.ts";
import { coalesce, textOf } from "../../src/core/latest.ts";
import { event } from "../contract/entries.ts";

test("of entries in any order the newest value per metric stays, and the datatype that came last", () => {
  const payload = (metrics: object, more: object = {}) => JSON.stringify({ metrics, ...more });
  const entries = [
    event(3, { eventMs: 30, payload: payload({ a: 3 }) }),
    event(1, { eventMs: 10, payload: payload({ a: 1, b: 1 }, { metadata: { datatype_id: "1" } }) }),
    event(2, { eventMs: 20, payload: payload({ a: 2 }, { metadata: { datatype_id: "2" } }) }),
  ];
  for (const order of [entries, entries.toReversed()]) {
    const [device] = coalesce(order as Event[], (_, id) => id);
    expect([...device!.values].map(([name, { value }]) => [name, value]).sort()).toEqual([
      ["a", 3],
      ["b", 1],
    ]);
    expect(device!.datatype?.fields).toEqual({ datatype_id: "2" });
    expect(device!.newest.seq).toBe(3);
  }
});

test("a number that a double would round keeps its digits, wherever it stands beside long strings", () => {
  const page = JSON.stringify("1e400, 12345678901234567 or so. ".repeat(50));
  for (const digits of ["12345678901234567", "0.1234567890123456", "1e300", "1E+301", "-12e-310"]) {
    for (const payload of [
      `{"metrics":{"a":${digits}}}`,
      `{"page":${page},"metrics":{"a":${digits}}}`,
      `{"metrics":{"a":${digits},"b":${page}},"page":${page}}`,
    ]) {
      const [device] = coalesce([event(1, { payload }) as Event], (_, id) => id);
      expect(textOf(device!.values.get("a")?.value)).toBe(digits);
    }
  }
});

test("of one form only the newest is read; what has another form, or none, or is newer, is read as ever", () => {
  const payload = (metrics: object) => JSON.stringify({ metrics });
  const values = (...entries: Entry[]) => {
    const [device] = coalesce(entries as Event[], (_, id) => id);
    return [
      Object.fromEntries([...device!.values].map(([name, { value }]) => [name, value])),
      device!.receivedMs,
    ];
  };
  const newest = event(3, { eventMs: 30, receivedMs: 100, form: 1, payload: payload({ a: 3 }) });
  const late = { eventMs: 20, receivedMs: 200 };
  expect(values(event(2, { ...late, form: 1, payload: "never read" }), newest)).toEqual([{ a: 3 }, 200]);
  expect(values(newest, event(4, { eventMs: 40, form: 1, payload: payload({ a: 4 }) }))[0]).toEqual({ a: 4 });
  for (const form of [2, undefined])
    expect(values(event(2, { ...late, form, payload: payload({ b: 2 }) }), newest)[0]).toEqual({
      a: 3,
      b: 2,
    });
  expect(() => values(event(2, { ...late, form: 2, payload: "read" }), newest)).toThrow();
});

test("each device is made when it is asked for, so that not the values of all are in memory at once", () => {
  const other = event(2, { deviceId: "d2", payload: "not read yet" });
  const devices = coalesce([event(1, { deviceId: "d1" }), other] as Event[], (_, id) => id);
  expect(devices.next().value?.name).toBe("d1");
  expect(() => devices.next()).toThrow();
});
