/** What a payload's form tells of its line is what is found by reading it: each payload is written both ways, and the lines are compared. */
import { beforeAll, beforeEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Address } from "../../src/core/address.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { createShelf } from "../../src/judge/form-shelf.ts";
import { grammarOf } from "../../src/sink/influx/grammar.ts";
import { encodeLine, textOf } from "../../src/sink/influx/line.ts";
import { Unwritable } from "../../src/sink/influx/names.ts";
import { plansMax } from "../../src/sink/influx/plan.ts";
import { createBody } from "../../src/sink/influx/scan.ts";
import { createSeries } from "../../src/sink/influx/series.ts";
import { createTypeMap } from "../../src/sink/influx/types.ts";
import { event } from "../contract/entries.ts";
import { simulatedClock } from "../kit/clock.ts";
import { parseLine } from "../kit/lineparser.ts";

const grammar = grammarOf("v3", true, false);
const address = new Address("tenant/acme/device/d1/telemetry", "acme", "d1", "telemetry", true);
const shelf = createShelf();

function world() {
  const types = createTypeMap({
    path: "/nonexistent/types.json",
    integerFields: ["seq", "rssi"],
    reserved: ["time", "device_id", "site_id"],
    clock: simulatedClock(),
    log: silentLog,
  });
  types.confirm("d", "telemetry", [
    ["seq", "integer"],
    ["rssi", "integer"],
    ["a", "float"],
    ["b c", "float"],
    ["é", "float"],
    ["2", "float"],
    ["9", "float"],
    ["ok", "boolean"],
    ["text", "string"],
  ]);
  return { types, table: types.table("d", "telemetry"), series: createSeries(), body: createBody(16) };
}

let known = world();
beforeEach(() => {
  known = world();
});

/** The number of its form, if it has one that it fits itself. */
function formOf(payload: string): number | undefined {
  const number = shelf.learn(sent(payload));
  return number !== undefined && fits(number, payload) ? number : undefined;
}

const fits = (form: number, payload: string) =>
  shelf.at(form)?.fits(sent(payload), address, "lab-1") !== undefined;

/** An entry's token is blanked. */
const sent = (payload: string) => payload.replace('"***"', '"tok-MDEyMzQ1Njc4OWFiY2Rl"');

/** The line and whether encodeLine is said to write the same; null: it is left to that. */
function written(payload: string, form: number | undefined) {
  const { table, series, body } = known;
  const entry = event(1, { payload, address, form });
  const before = body.bytes().length;
  if (!body.scan(entry, table, series(entry, table, grammar))) {
    expect(body.bytes().length).toBe(before);
    return null;
  }
  const plain = body.plainFields();
  const names = body.names().toSorted();
  body.end({ ms: entry.eventMs ?? 0, ns: entry.eventNs });
  return { plain, names, text: new TextDecoder().decode(body.bytes().slice(before)).replace(/^\n/, "") };
}

function slowly(payload: string): string | null {
  try {
    const line = encodeLine(event(1, { payload }), known.table, grammar);
    return line === null ? null : textOf(line);
  } catch (error) {
    if (error instanceof Unwritable) return null;
    throw error;
  }
}

/** @returns whether it has a line that its form told */
function bothWays(payload: string, form: number): boolean {
  const read = written(payload, undefined);
  const told = written(payload, form);
  const slow = slowly(payload);
  if (told === null) {
    expect(read).toBeNull();
    return false;
  }
  // A name with a blank behind it is told, and not read.
  if (read !== null) expect([told.text, told.names]).toEqual([read.text, read.names]);
  expect(slow).not.toBeNull();
  expect(pointOf(told.text)).toEqual(pointOf(slow ?? ""));
  if (told.plain !== null) expect(slow).toContain(` ${told.plain} `);
  return true;
}

function pointOf(line: string) {
  const { measurement, tags, fields, time } = parseLine(line);
  return [measurement, [...tags], [...fields].toSorted(), time];
}

/** Who reads a payload leaves one with a blank before a colon to encodeLine, so that what it takes to be written is a plan. */
function triesUntilPlanned(payload = "", form = formOf(payload)): number {
  let tries = 0;
  while (tries < 200_000 && written(payload, form) === null) tries += 1;
  return tries;
}

// All suites share the plans: what others have used up is forgotten.
beforeAll(() => void triesUntilPlanned('{"x":0,"metrics" :{"a":1}}'));

describe("the next payload of a form", () => {
  test.each([
    [
      '{"seq":7,"metrics":{"a":21.50,"rssi":-85,"ok":true}}',
      '{"seq":18,"metrics":{"a":-3,"rssi":0,"ok":false}}',
    ],
    ['{"metrics": {"a": 21, "ok": false}, "seq": 7}', '{"metrics": {"a": 0.5, "ok": true}, "seq": 8}'],
    [
      '{"site_id":"lab-1","provision_token":"***","ts":"2026-11-20T10:00:00Z","metrics":{"a":1},"note":"x"}',
      '{"site_id":"lab-1","provision_token":"***","ts":"2026-11-20T10:00:00.5Z","metrics":{"a":2},"note":"{}"}',
    ],
    [
      '{"raw":[1,[true,"x"],{"metrics":{"a":9}}],"metrics":{"b c":1.5,"text":"=, "}}',
      '{"raw":[10,[false,"[{"],{"metrics":{"a":-0.5}}],"metrics":{"b c":-1.25,"text":""}}',
    ],
    ['{"metrics":{"é":1,"9":2,"2":3}}', '{"metrics":{"é":10,"9":20,"2":30}}'],
    ['{"seq":null,"metrics":{"a":null,"ok":true}}', '{"seq":null,"metrics":{"a":null,"ok":false}}'],
    ['{"ts":1764000000,"seq":1}', '{"ts":1764000000.25,"seq":2}'],
    ['{"metrics":null,"seq":1}', '{"metrics":null,"seq":2}'],
  ])("%s", (first, second) => {
    const form = formOf(first) ?? -1;
    expect(fits(form, second)).toBe(true);
    expect(bothWays(first, form)).toBe(true);
    expect(bothWays(second, form)).toBe(true);
  });
});

describe("is left to who reads it, if it", () => {
  const usual = '{"seq":7,"metrics":{"a":21.5,"rssi":-85,"ok":true,"text":"on"}}';
  test.each([
    ["has more digits than a double", usual.replace("21.5", "1234567890123456")],
    ["has them before a point", usual.replace("21.5", "9007199254740993.0")],
    ["is less than nothing and nothing", usual.replace("21.5", "-0.00")],
    ["has a fraction where whole numbers are", usual.replace("-85", "-85.5")],
    ["has text beyond ASCII", usual.replace("on", "ö")],
  ])("%s", (_, payload) => {
    const form = formOf(usual) ?? -1;
    expect(bothWays(usual, form)).toBe(true);
    expect(written(payload, form)).toEqual(written(payload, undefined));
    expect(written(payload, form)).toBeNull();
  });

  test.each([
    ["has no field", '{"ts":5,"metrics":{}}'],
    ["has a name twice", '{"metrics":{"a":1,"a":2}}'],
    ["has metrics twice", '{"metrics":{"a":1},"metrics":{"ok":true}}'],
    ["has a seq of two", '{"seq":1,"metrics":{"seq":2}}'],
    ["has metrics in a list", '{"metrics":[1,2]}'],
    ["has metrics in metrics", '{"metrics":{"a":{"b c":1}}}'],
    ["has the name of a tag", '{"metrics":{"site_id":1}}'],
    ["has a new column", '{"metrics":{"new":1}}'],
    ["has text where a number was", '{"metrics":{"a":"1"}}'],
  ])("%s", (_, payload) => {
    const form = formOf(payload) ?? -1;
    expect(fits(form, payload)).toBe(true);
    expect(written(payload, form)).toBeNull();
  });

  test("has a column that is of another type meanwhile", () => {
    const payload = '{"metrics":{"a":1}}';
    const form = formOf(payload) ?? -1;
    expect(written(payload, form)?.text).toContain(" a=1 ");
    known.types.confirm("d", "telemetry", [["a", "integer"]]);
    expect(written(payload, form)?.text).toContain(" a=1i ");
    known.types.confirm("d", "telemetry", [["a", "string"]]);
    expect(written(payload, form)).toBeNull();
  });
});

describe("any payload", () => {
  const number = fc.oneof(
    { weight: 20, arbitrary: fc.integer({ min: -20_000, max: 20_000 }).map((n) => n / 100) },
    { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 1, arbitrary: fc.maxSafeInteger() },
  );
  const text = fc.oneof(
    { weight: 8, arbitrary: fc.string({ maxLength: 4 }) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 4 }) },
  );
  const name = fc.constantFrom("seq", "metrics", "a", "b c", "é", "2", "9", "ok", "text", "rssi", "new");
  const metrics = fc.record(
    {
      a: number,
      "b c": number,
      rssi: fc.integer(),
      ok: fc.boolean(),
      text,
      "2": number,
    },
    { requiredKeys: ["a"] },
  );
  const payloads = fc.record(
    {
      more: fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.dictionary(name, fc.oneof(number, text, metrics))),
      seq: fc.oneof(fc.nat(), fc.constant(null)),
      ts: fc.constantFrom("2026-11-20T10:00:00.125Z", "2026-11-20T10:00:00+01:00", 1_764_000_000),
      metrics: fc.oneof(
        { weight: 4, arbitrary: metrics },
        { weight: 1, arbitrary: fc.dictionary(name, fc.oneof(number, text)) },
      ),
      note: text,
    },
    { requiredKeys: ["metrics"] },
  );

  test("with other values in its places is written as it reads", () => {
    let taken = 0;
    fc.assert(
      fc.property(
        payloads,
        fc.array(number, { minLength: 1, maxLength: 8 }),
        fc.constantFrom("", " "),
        (payload, numbers, gap) => {
          const first = JSON.stringify(payload).replaceAll('":', `":${gap}`);
          const form = formOf(first);
          if (form === undefined) return;
          let i = 0;
          const second = first.replace(/-?\d[\d.]*(?=[,}])/g, () => String(numbers[i++ % numbers.length]));
          for (const one of [first, second]) if (fits(form, one) && bothWays(one, form)) taken += 1;
        },
      ),
      { numRuns: 4_000 },
    );
    expect(taken).toBeGreaterThan(300);
  });
});

test("of more forms than there is room for, the first are told, the others read, until those are many", () => {
  const payloads = Array.from({ length: 1_100 }, (_, i) => `{"x${i}":0,"metrics" :{"a":${i},"ok":true}}`);
  const forms = payloads.map((payload) => formOf(payload) ?? -1);
  const isTold = (i: number) => bothWays(payloads[i] ?? "", forms[i] ?? -1);
  // What others here have used up is forgotten.
  triesUntilPlanned(payloads[0], forms[0]);
  const told = payloads.filter((_, i) => isTold(i));
  expect(told).toEqual(payloads.slice(0, plansMax));
  expect(isTold(1_099)).toBe(false);
  expect(triesUntilPlanned(payloads[1_099], forms[1_099])).toBeGreaterThan(90_000);
  expect(isTold(1_099)).toBe(true);
});
