/**
 * The scan of a payload: what it encodes reads back as what encodeLine writes, and what it leaves to encodeLine adds
 * nothing.
 */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Entry } from "../../src/core/entry.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { grammarOf } from "../../src/sink/influx/grammar.ts";
import { createBody } from "../../src/sink/influx/scan.ts";
import { createSeries } from "../../src/sink/influx/series.ts";
import { createTypeMap } from "../../src/sink/influx/types.ts";
import { encodeLine, textOf, type ColumnType } from "../../src/sink/influx/line.ts";
import { event } from "../contract/entries.ts";
import { simulatedClock } from "../kit/clock.ts";
import { parseLine, parseLines, type Point } from "../kit/lineparser.ts";

const grammar = grammarOf("v3", true, false);
const columns: Readonly<Record<string, ColumnType>> = {
  seq: "integer",
  rssi_dbm: "integer",
  a: "float",
  "b c": "float",
  é: "float",
  ok: "boolean",
  text: "string",
  "2": "float",
  "9": "float",
};

function world() {
  const types = createTypeMap({
    path: "/nonexistent/types.json",
    integerFields: ["seq", "rssi_dbm"],
    reserved: ["time", "device_id", "site_id"],
    clock: simulatedClock(),
    log: silentLog,
  });
  types.confirm("d", "telemetry", Object.entries(columns));
  return {
    table: types.table("d", "telemetry"),
    series: createSeries(),
    body: createBody(16),
    /** The fields of the last line, if the scan says that encodeLine writes the same. */
    plain: null as string | null,
    /** The names of its fields. */
    names: [] as readonly string[],
  };
}

/** The text that the scan makes of a payload; null if it leaves it to encodeLine. */
function scan(payload: string, known = world(), more: Partial<Entry> = {}): string | null {
  const { table, series, body } = known;
  const entry = event(1, { payload, ...more });
  const before = body.bytes().length;
  const of = series(entry, table, grammar);
  if (!body.scan(entry, table, of)) {
    expect(body.bytes().length).toBe(before);
    return null;
  }
  known.plain = body.plainFields();
  // As the window of collisions does: the names of the line before are taken if they are the same.
  known.names = of.names = body.names();
  body.end({ ms: entry.eventMs ?? 0, ns: entry.eventNs });
  return new TextDecoder().decode(body.bytes().slice(before)).replace(/^\n/, "");
}

describe("takes", () => {
  test.each([
    ['{"seq":7,"metrics":{"a":21.50,"rssi_dbm":-85,"ok":true}}', "seq=7i,a=21.50,rssi_dbm=-85i,ok=true"],
    ['{"metrics": {"a": 21, "ok": false}, "seq": 7}', "a=21,ok=false,seq=7i"],
    ['{"version":"1","ts":"2026","x":null,"y":-1.5e9,"metrics":{"a":0.1,"b c":-0.5}}', "a=0.1,b\\ c=-0.5"],
    [
      '{"metrics":{"a":null,"text":"plain = text, with spaces","é":3}}',
      'text="plain = text, with spaces",é=3',
    ],
    ['{"metrics":{"text":""}}', 'text=""'],
    ['{"seq":null,"metrics":{"a":999999999999999}}', "a=999999999999999"],
    ['{"seq":0}', "seq=0i"],
    ['{"note":"a \\"metrics\\":{","metrics":{"a":1}}', "a=1"],
    ['{"more":{"seq":1,"metrics":{"a":1}},"metrics":{"a":2}}', "a=2"],
    ['{"more":[1,"]",{"metrics":{}}],"metrics":{"a":2}}', "a=2"],
    ['{\n  "metrics": {\n    "ok": true, "a": 2 }\n}', "ok=true,a=2"],
  ])("%s", (payload, fields) => {
    expect(scan(payload)).toBe(`telemetry,device_id=d1,site_id=lab-1 ${fields} 1789000000001123456`);
  });
});

describe("leaves to encodeLine", () => {
  test.each([
    "{}",
    '{"metrics":{}}',
    '{"metrics":null}',
    '{"metrics":{"a":1},"metrics":{"a":2}}',
    '{"metrics":{"a":1,"a":2}}',
    '{"seq":1,"seq":2}',
    '{"seq":1,"metrics":{"seq":2}}',
    '{"metrics":{"a":1e3}}',
    '{"metrics":{"a":1E+3}}',
    '{"metrics":{"a":-0}}',
    '{"metrics":{"a":-0.0}}',
    '{"metrics":{"a":9007199254740993}}',
    '{"metrics":{"a":9007199254740993.0}}',
    '{"metrics":{"a":1234567890123456}}',
    '{"metrics":{"rssi_dbm":1.5}}',
    '{"metrics":{"rssi_dbm":9223372036854775807}}',
    '{"metrics":{"a":"text"}}',
    '{"metrics":{"a":true}}',
    '{"metrics":{"ok":1}}',
    '{"metrics":{"text":1}}',
    '{"metrics":{"new":1}}',
    '{"metrics":{"time":1}}',
    '{"metrics":{"text":"a \\"quote\\""}}',
    '{"metrics":{"text":"two\\nlines"}}',
    '{"metrics":{"text":"ünï"}}',
    '{"metrics":{"\\u0061":1}}',
    '{"m\\u0065trics":{"a":1}}',
    '{"metrics":{"a":1}',
    '{"metrics":{"a":',
    '{"metrics":{"a"',
    '{"metr',
    "",
    "null",
    "[1]",
  ])("%s", (payload) => {
    expect(scan(payload)).toBeNull();
  });
});

describe("tells whether encodeLine writes the same", () => {
  test.each([
    ['{"seq":7,"metrics":{"a":21.5,"é":-0.000001,"ok":true,"text":"x=y"}}', true],
    ['{"metrics":{"a":1.50}}', false],
    ['{"metrics":{"a":2.0}}', false],
    ['{"metrics":{"a":-0.0000001}}', false],
    ['{"metrics":{"a":0.30000000000000004}}', false],
    ['{"metrics":{"a":0.1000000000000000055}}', false],
    ['{"metrics":{"a":1},"seq":7}', false],
    ['{"metrics":{"9":1,"2":1}}', false],
  ])("%s %p", (payload, isPlain) => {
    const known = world();
    expect(scan(payload, known)).not.toBeNull();
    const slow = encodeLine(event(1, { payload }), known.table, grammar);
    expect(known.plain).toBe(isPlain ? (slow?.fields ?? "") : null);
  });
});

test("readings of one shape share the names of their fields, and what is null is none", () => {
  const known = world();
  const namesOf = (payload: string) => (scan(payload, known), known.names);
  const names = namesOf('{"seq":1,"metrics":{"a":1,"text":"x"}}');
  expect(names).toEqual(["seq", "a", "text"]);
  expect(namesOf('{"seq":2,"metrics":{"a":2,"ok":null,"text":"y"}}')).toBe(names);
  expect(namesOf('{"seq":2,"metrics":{"a":null,"text":"y"}}')).toEqual(["seq", "text"]);
  expect(namesOf('{"seq":2}')).toEqual(["seq"]);
  expect(namesOf('{"metrics":{"ok":true}}')).toEqual(["ok"]);
});

test("times before 1970 and near it are as encodeLine writes them", () => {
  for (const eventMs of [-62_000_000_000, -1, 0, 1, 999, 1_000, 1_001, 1_789_000_000_000, 9_223_371_599_999])
    for (const eventNs of [0, 1, 123_456, 999_999]) {
      const text = scan('{"seq":1}', world(), { eventMs, eventNs });
      expect(text?.split(" ").at(-1)).toBe(String(BigInt(eventMs) * 1_000_000n + BigInt(eventNs)));
    }
});

describe("any payload", () => {
  const name = fc.oneof(
    fc.constantFrom(...Object.keys(columns), "new", "time"),
    fc.string({ unit: "binary", maxLength: 4 }),
  );
  const number = fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: -20_000, max: 20_000 }).map((n) => n / 100) },
    { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 1, arbitrary: fc.maxSafeInteger() },
  );
  const value = fc.oneof(
    { weight: 8, arbitrary: number },
    fc.boolean(),
    fc.string({ unit: "binary", maxLength: 5 }),
    fc.constant(null),
  );
  const usual = fc.record(
    { a: number, "b c": number, rssi_dbm: fc.integer(), ok: fc.boolean(), text: fc.string() },
    { requiredKeys: [] },
  );
  const metrics = fc.oneof(
    { weight: 3, arbitrary: usual },
    { weight: 1, arbitrary: fc.dictionary(name, value, { maxKeys: 5 }) },
  );
  const payloads = fc.record(
    {
      ts: fc.string(),
      seq: fc.oneof(fc.nat(), fc.constant(null)),
      metrics,
      more: fc.jsonValue(),
    },
    { requiredKeys: ["metrics"] },
  );

  test("scanned among others reads back as encodeLine's, and swallows no neighbour", () => {
    const known = world();
    let taken = 0;
    fc.assert(
      fc.property(payloads, fc.constantFrom("", " ", "  "), (payload, gap) => {
        const text = JSON.stringify(payload).replaceAll('":', `":${gap}`);
        if (gap !== "" && JSON.stringify(JSON.parse(text)) !== JSON.stringify(payload)) return true;
        const line = scan(text, known);
        if (line === null) return true;
        taken += 1;
        const slow = encodeLine(event(1, { payload: text }), known.table, grammar);
        expect(slow).not.toBeNull();
        if (known.plain !== null) expect(known.plain).toBe(slow?.fields ?? "");
        expect(known.names.toSorted()).toEqual(slow?.names.toSorted() ?? []);
        expect(read(parseLine(line))).toEqual(read(parseLine(slow === null ? "" : textOf(slow))));
        return true;
      }),
      { numRuns: 3_000 },
    );
    expect(taken).toBeGreaterThan(300);
    expect(
      parseLines(new TextDecoder().decode(known.body.bytes())).filter((line) => "point" in line),
    ).toHaveLength(taken);
  });

  const read = ({ measurement, tags, fields, time }: Point) => [
    measurement,
    [...tags],
    [...fields].map(([field, { type, value: v }]) => [field, type, v]).toSorted(),
    time,
  ];
});
