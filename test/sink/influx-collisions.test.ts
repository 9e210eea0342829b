/** No reading takes another's place: what a window remembers, and how far it moves a reading. */
import { beforeEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { grammarOf } from "../../src/sink/influx/grammar.ts";
import { createCollisions, type Shifts } from "../../src/sink/influx/collisions.ts";
import { printOfText } from "../../src/sink/influx/print.ts";
import { createSeries, seriesMax } from "../../src/sink/influx/series.ts";
import { encodeLine, type Made, type Table, type Time } from "../../src/sink/influx/line.ts";
import { event } from "../contract/entries.ts";
import type { EntryChanges } from "../kit/spool.ts";

const table: Table = {
  name: "telemetry",
  column: (name) => ({ head: `,${name.replace("=", "\\=")}=`, integer: false, type: "float" }),
};

const grammar = grammarOf("v3", true, false);
let seriesOf = createSeries();
beforeEach(() => (seriesOf = createSeries()));

const ns = (time: Time): number => time.ms * 1_000_000 + time.ns;

type Metrics = Record<string, number | null>;

function line(
  seq: number,
  time: number | bigint,
  metrics: Metrics = { v: seq },
  device: EntryChanges = {},
): Made {
  const entry = event(seq, { payload: JSON.stringify({ metrics }), ...device });
  const made = encodeLine(entry, table, grammar, seriesOf);
  if (made === null) throw new Error("a line without fields");
  return { ...made, ms: Math.floor(Number(time) / 1_000_000), ns: Number(time) % 1_000_000 };
}

function times(mode: "shift" | "keep", make: () => readonly Made[]): number[] {
  seriesOf = createSeries();
  const collisions = createCollisions(mode);
  const shifts: Shifts = new Map();
  return make().map((each) => ns(collisions.place(each, shifts)));
}

describe("the window of collisions", () => {
  test("a device whose clock stands still loses no reading", () => {
    const lines = () => Array.from({ length: 1_000 }, (_, i) => line(i + 1, 500));
    expect(new Set(times("shift", lines)).size).toBe(1_000);
  });

  test("the fields of a line that has a print are made as text only where its time is taken", () => {
    const collisions = createCollisions("shift");
    let made = 0;
    const place = (seq: number, time: number) => {
      const { fields, ...rest } = line(seq, time);
      const lazy = {
        ...rest,
        print: printOfText(fields),
        get fields() {
          made += 1;
          return fields;
        },
      };
      collisions.place(lazy, new Map());
      return made;
    };
    expect([place(1, 10), place(2, 20), place(3, 5)]).toEqual([0, 0, 0]);
    expect(place(4, 20)).toBeGreaterThan(0);
  });

  test("a server that keeps no nanoseconds gets them a step of its own apart", () => {
    const collisions = createCollisions("shift");
    const { stepNs } = grammarOf("questdb", true, true);
    const place = (seq: number, time: number) => ns(collisions.place(line(seq, time), new Map(), stepNs));
    expect([place(1, 5_000), place(2, 5_000), place(3, 5_000)]).toEqual([5_000, 6_000, 7_000]);
    // Once more, as after an outage; and a reading whose time was given away.
    expect([place(2, 5_000), place(4, 6_000)]).toEqual([6_000, 8_000]);
  });

  test.each([
    ["tenants that share a database", { tenantId: "t1" }, { tenantId: "t2" }],
    ["sites", { siteId: "s1" }, { siteId: "s2" }],
  ])("devices of one name at two %s do not make each other's last times forgotten", (_, one, other) => {
    const collisions = createCollisions("shift");
    const place = (seq: number, of: EntryChanges) =>
      ns(collisions.place(line(seq, 10, { v: seq }, of), new Map()));
    expect([place(1, one), place(2, other), place(3, one), place(4, other)]).toEqual([10, 10, 11, 11]);
  });

  test("readings of one time with other fields are one point, and come again as such", () => {
    const collisions = createCollisions("shift");
    const place = (seq: number, metrics: Metrics, deviceId = "d") =>
      ns(collisions.place(line(seq, 10, metrics, { deviceId }), new Map()));
    const sent = [{ a: 1 }, { b: 2 }, { c: 3, d: null }, { d: 4 }];
    expect(sent.map((metrics, i) => place(i + 1, metrics))).toEqual([10, 10, 10, 10]);
    expect(collisions.count).toBe(0);
    // The same again, as after a redelivery or a retry.
    expect(sent.map((metrics, i) => place(i + 7, metrics))).toEqual([10, 10, 10, 10]);
    expect([place(15, { "x=1": 1 }, "e"), place(16, { "x=2": 1 }, "e")]).toEqual([10, 10]);
    expect([place(21, { b: 9 }), place(22, { e: 1, a: 2 })]).toEqual([11, 12]);
    expect(collisions.count).toBe(2);
  });

  test("a reading is not moved onto another one's time", () => {
    expect(times("shift", () => [line(1, 10), line(2, 11), line(3, 10), line(4, 10)])).toEqual([
      10, 11, 12, 13,
    ]);
    expect(times("shift", () => [line(1, 10), line(2, 10), line(3, 11)])).toEqual([10, 11, 12]);
  });

  test("a reading that comes again keeps its time, whatever came between", () => {
    const collisions = createCollisions("shift");
    const place = (each: Made) => String(ns(collisions.place(each, new Map())));
    expect([place(line(1, 10)), place(line(2, 10)), place(line(3, 10))]).toEqual(["10", "11", "12"]);
    expect([place(line(2, 10)), place(line(1, 10)), place(line(9, 10, { v: 3 }))]).toEqual([
      "11",
      "10",
      "12",
    ]);
    expect(collisions.count).toBe(2);
  });

  test("a shift stays with its entry, even after the window has forgotten it", () => {
    const collisions = createCollisions("shift");
    const shifts: Shifts = new Map();
    collisions.place(line(1, 10), shifts);
    collisions.place(line(2, 10), shifts);
    for (let time = 100; time < 200; time += 1) collisions.place(line(time, time), shifts);
    expect(String(ns(collisions.place(line(2, 10), shifts)))).toBe("11");
  });

  test("readings of the moment in which they came lose none, however many with older times come between", () => {
    const now = 50_000_000;
    const old = (seq: number) => line(seq, seq * 1_000_000);
    const mixed = () =>
      [1, 2, 3].flatMap((n) => [line(n, now), ...[1, 2, 3, 4, 5, 6].map((i) => old(n * 10 + i))]);
    const given = times("shift", mixed);
    expect(new Set(given).size).toBe(given.length);
  });

  test("late readings are compared too, and tens of thousands of devices are bounded", () => {
    const collisions = createCollisions("shift");
    const place = (each: Made) => String(ns(collisions.place(each, new Map())));
    for (const time of [10, 30, 20]) place(line(time, time));
    expect(place(line(99, 20))).toBe("21");
    for (let n = 0; n < 2.5 * seriesMax; n += 1) place(line(n, 10, { v: 0 }, { deviceId: `d${n}` }));
    expect(place(line(99, 10, { v: 1 }, { deviceId: `d${2 * seriesMax}` }))).toBe("11");
    expect(place(line(98, 20))).toBe("20");
  });

  test("a time that takes the place of an older one is remembered to the nanosecond, and with nothing of that one", () => {
    const collisions = createCollisions("shift");
    const place = (each: Made) => ns(collisions.place(each, new Map()));
    expect([10, 20, 30, 40].map((time) => place(line(time, time)))).toEqual([10, 20, 30, 40]);
    expect([place(line(11, 10)), place(line(50, 50))]).toEqual([11, 50]);
    // Once more, spelled otherwise or under another seq; then another reading.
    const again = [line(50, 50, { v: 7 }), line(51, 50, { v: 50 }), line(52, 50)];
    expect(again.map(place)).toEqual([50, 50, 51]);
  });

  test("keep moves nothing and counts each once", () => {
    const collisions = createCollisions("keep");
    const shifts: Shifts = new Map();
    const place = (each: Made) => String(ns(collisions.place(each, shifts)));
    expect([place(line(1, 10)), place(line(2, 10)), place(line(2, 10))]).toEqual(["10", "10", "10"]);
    expect(collisions.count).toBe(1);
  });

  test("within the last times of a series no two readings ever share one", () => {
    const arrivals = fc.array(fc.record({ time: fc.integer({ min: 1, max: 4 }), value: fc.nat(5) }), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(arrivals, (readings) => {
        seriesOf = createSeries();
        const collisions = createCollisions("shift");
        const stored = new Map<string, string>();
        for (const [i, { time, value }] of readings.entries()) {
          const placed = collisions.place(line(i + 1, time, { v: value }), new Map());
          const there = stored.get(String(ns(placed))) ?? placed.fields;
          if (there !== placed.fields) return false;
          stored.set(String(ns(placed)), placed.fields);
        }
        return true;
      }),
    );
  });
});

test("prints tell apart what differs in length, in one place or in the order", () => {
  const texts = new Set(["seq=1,t=20.1,on=true", "t=20.1,seq=1,on=true"]);
  for (let length = 0; length < 40; length += 1) texts.add("\0".repeat(length));
  for (const text of [...texts])
    for (let i = 0; i < text.length; i += 1)
      for (const char of "019.=,\x7f") texts.add(text.slice(0, i) + char + text.slice(i + 1));
  for (let i = 0; i < 100_000; i += 1) texts.add(`seq=${i},t=${i % 313}.${i % 7}`);
  expect(new Set([...texts].map(printOfText)).size).toBe(texts.size);
});
