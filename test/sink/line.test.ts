/** An event as a line: InfluxDB reads back exactly the event, or the event is refused by name. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Entry } from "../../src/core/entry.ts";
import { grammarOf } from "../../src/sink/influx/grammar.ts";
import { encodeLine, textOf, type Column, type ColumnType, type Table } from "../../src/sink/influx/line.ts";
import { escapeName, namesIn, Unwritable } from "../../src/sink/influx/names.ts";
import { event } from "../contract/entries.ts";
import { parseLine, parseLines } from "../kit/lineparser.ts";

const grammar = grammarOf("v3", true, false);
const integers = new Set(["seq", "rssi_dbm"]);

/** A table whose columns are believed to have the types in `types`. */
function table(name: string, types: Record<string, ColumnType> = {}): Table {
  const columns = new Map<string, Column>();
  return {
    name,
    column(field) {
      const head = ["time", "device_id", "site_id"].includes(field) ? null : escapeName(field);
      const type = Object.hasOwn(types, field) ? (types[field] ?? null) : null;
      const made = { head: head && `,${head}=`, integer: integers.has(field), type };
      const column = columns.get(field) ?? made;
      columns.set(field, column);
      return column;
    },
  };
}

function encode(
  payload: unknown,
  more: Partial<Entry> = {},
  types?: Record<string, ColumnType>,
): string | null {
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  const entry = event(1, { payload: text, eventMs: 1_700_000_000_123, eventNs: 456_789, ...more });
  const line = encodeLine(
    entry,
    table(entry.msgType ?? "", types),
    more.tenantId === "shared" ? { ...grammar, tenantTag: true } : grammar,
  );
  return line === null ? null : textOf(line);
}

function refusal(payload: unknown, more: Partial<Entry> = {}, types?: Record<string, ColumnType>): string {
  try {
    return `encoded: ${encode(payload, more, types)}`;
  } catch (error) {
    expect(error).toBeInstanceOf(Unwritable);
    return error instanceof Error ? error.message : "";
  }
}

describe("the lines of the specification", () => {
  const device = { deviceId: "d1", siteId: "s1" };

  test("a heartbeat has its seq as an integer, and no other field", () => {
    expect(encode({ seq: 120 }, { ...device, msgType: "heartbeat" })).toBe(
      "heartbeat,device_id=d1,site_id=s1 seq=120i 1700000000123456789",
    );
  });

  test("telemetry: seq first, then the metrics in the payload's order", () => {
    const metrics = {
      battery_pct: 87.5,
      temp_c: 24.3,
      rssi_dbm: -85,
      snr_db: 12.4,
      uplink_ok: true,
      gone: null,
    };
    expect(encode({ metrics, seq: 120 }, device)).toBe(
      "telemetry,device_id=d1,site_id=s1 seq=120i,battery_pct=87.5,temp_c=24.3,rssi_dbm=-85i,snr_db=12.4,uplink_ok=true 1700000000123456789",
    );
  });

  test("a shared database gets the tenant as its first tag", () => {
    expect(encode({ seq: 1 }, { ...device, tenantId: "shared" })).toStartWith(
      "telemetry,tenant_id=shared,device_id=d1,site_id=s1 seq=1i",
    );
  });

  test("an event without a field has no line", () => {
    expect(encode({}, { ...device, msgType: "heartbeat" })).toBeNull();
    expect(encode({ metrics: { a: null } }, device)).toBeNull();
    expect(encode({ seq: null, metrics: null }, device)).toBeNull();
    expect(encode({ seq: null, metrics: { a: 1 } }, device)).toContain("site_id=s1 a=1 ");
    expect(namesIn({ payload: '{"seq":1,"metrics":null}' })).toEqual(["seq"]);
  });
});

describe("numbers", () => {
  test("a whole number is a float unless its name is declared an integer", () => {
    expect(encode({ metrics: { a: 21, rssi_dbm: -85 } })).toContain(" a=21,rssi_dbm=-85i ");
  });

  test("integers keep all digits up to 64 bits", () => {
    const digits = "9223372036854775807";
    expect(encode(`{"metrics":{"rssi_dbm":${digits}}}`)).toContain(`rssi_dbm=${digits}i`);
    expect(refusal('{"metrics":{"rssi_dbm":9223372036854775808}}')).toContain("64 bits");
    expect(refusal('{"metrics":{"rssi_dbm":1e19}}')).toContain("64 bits");
  });

  test.each([
    ["9007199254740993", true],
    ["-9007199254740993", true],
    ["9007199254740993.0", false],
    ["9007199254740993.5", false],
    ["9.007199254740993e15", false],
    ["0.9007199254740993E+16", false],
    ["90071992547409930000e-4", false],
    ["12345678901234567890", false],
    ["1" + "1".repeat(30), false],
  ])(
    "%s would lose digits in a float: refused, never rounded; a column of integers takes it: %p",
    (digits, isCured) => {
      const why = refusal(`{"metrics":{"a":${digits}}}`);
      expect(why).toContain("has digits that a float does not keep");
      expect(why.includes("INFLUX_INTEGER_FIELDS")).toBe(isCured);
      expect(refusal(`{"metrics":{"rssi_dbm":${digits}}}`).startsWith("encoded")).toBe(isCured);
      expect(refusal(`{"metrics":{"a":${digits}}}`, {}, { a: "float" })).toEndWith("does not keep");
      const asText = `{"metrics":{"a":"${digits}"}}`;
      expect(encode(asText)).toContain(` a="${digits}" `);
    },
  );

  test.each([
    "9007199254740991",
    "9007199254740992",
    "1152921504606846976",
    "9007199254740992.0",
    "1e21",
    "1e23",
    "-0.1e24",
    "1.7976931348623157e308",
  ])("the number %s is what a float says", (digits) => {
    expect(encode(`{"metrics":{"a":${digits}}}`)).toContain(` a=${Number(digits)} `);
  });

  test("a number beyond a double is refused", () => {
    expect(refusal('{"metrics":{"a":1e400}}')).toBe(
      'metric "a" of device "d1" is beyond the range of a double',
    );
  });

  test("times outside of 64-bit nanoseconds are refused, those before 1970 are exact", () => {
    expect(refusal({ seq: 1 }, { eventMs: 9_223_372_036_855 })).toContain("1677 to 2262");
    expect(refusal({ seq: 1 }, { eventMs: -9_223_372_036_855 })).toContain("1677 to 2262");
    expect(encode({ seq: 1 }, { eventMs: -1, eventNs: 999_999 })).toEndWith(" -1");
  });
});

test("no time of the ten minutes that kill InfluxDB 3 is sent, and the one before them is", () => {
  const endMs = Date.UTC(2262, 3, 11, 23, 40);
  for (const eventMs of [endMs, endMs + 1, endMs + 436_853])
    expect(refusal({ seq: 1 }, { eventMs, eventNs: 0 })).toContain("2262-04-11T23:40:00Z");
  expect(encode({ seq: 1 }, { eventMs: endMs - 1, eventNs: 999_999 })).toEndWith(" 9223371599999999999");
});

describe("a column's type", () => {
  test("decides how a number is written", () => {
    expect(encode({ seq: 7, metrics: { a: 3 } }, {}, { seq: "float", a: "integer" })).toContain(
      " seq=7,a=3i ",
    );
  });

  test("refuses a fraction in a column of integers, by name", () => {
    expect(refusal({ metrics: { rssi_dbm: -85.5 } })).toBe(
      'metric "rssi_dbm" of device "d1" is -85.5; its column holds whole numbers',
    );
  });

  test.each([
    ["float", "x"],
    ["integer", true],
    ["string", 1],
    ["boolean", 1],
    ["tag", "x"],
  ] as const)("a column believed to be %p: %p has a line that is known not to fit", (type, value) => {
    const entry = event(1, { payload: JSON.stringify({ metrics: { a: value, b: 1 } }) });
    const line = encodeLine(entry, table("telemetry", { a: type, b: "float" }), grammar);
    const came = typeof value === "number" ? "float" : typeof value;
    expect(line).toMatchObject({ misfit: true, news: [["a", came]] });
    expect(line?.fields).toBe(`a=${JSON.stringify(value)},b=1`);
  });

  test("a fraction for a column that is believed, not declared, to be an integer is a float that does not fit", () => {
    const entry = event(1, { payload: '{"metrics":{"a":1.5}}' });
    expect(encodeLine(entry, table("telemetry", { a: "integer" }), grammar)).toMatchObject({
      misfit: true,
      fields: "a=1.5",
    });
  });

  test("a column whose type is not known is new and no misfit, nor is a known one", () => {
    const entry = event(1, { payload: '{"metrics":{"a":1,"b":2}}' });
    expect(encodeLine(entry, table("telemetry", { a: "float" }), grammar)).toMatchObject({
      misfit: false,
      news: [["b", "float"]],
    });
    expect(encodeLine(entry, table("telemetry", { a: "float", b: "float" }), grammar)?.news).toBeNull();
  });
});

describe("names and text", () => {
  test.each([
    "time",
    "device_id",
    "site_id",
    "",
    "a\\b",
    "a\\",
    "tab\there",
    "line\nfeed",
    "nul\0",
    "\ud800",
  ])("the metric name %j is refused", (name) => {
    expect(refusal({ metrics: { [name]: 1 } })).toContain("cannot be the name of a field");
  });

  test("a metric named seq beside the message's own is refused", () => {
    expect(refusal({ seq: 1, metrics: { seq: 2 } })).toContain("the message's own seq");
    expect(encode({ metrics: { seq: 2 } })).toContain(" seq=2i ");
  });

  test.each(["", "ends\\", "in\\side", "tab\t", "nul\0", "line\nfeed", "\udc00"])(
    "the site %j is refused",
    (siteId) => {
      expect(refusal({ seq: 1 }, { siteId })).toStartWith("tag site_id cannot be");
    },
  );

  test("delimiters in names are escaped", () => {
    expect(encode({ metrics: { "a,b=c d": 1 } }, { deviceId: "x,y=z w" })).toStartWith(
      "telemetry,device_id=x\\,y\\=z\\ w,site_id=lab-1 a\\,b\\=c\\ d=1 ",
    );
  });

  test("quotes and backslashes in a string cannot end it", () => {
    expect(encode({ metrics: { a: 'C:\\"\\', b: "two\nlines" } })).toContain(
      ' a="C:\\\\\\"\\\\",b="two\nlines" ',
    );
  });

  test("half a surrogate pair is refused, a whole one is not", () => {
    expect(refusal({ metrics: { a: "\ud83c" } })).toContain("not valid Unicode");
    expect(encode({ metrics: { "🌊": "🌊" } })).toContain('🌊="🌊"');
  });

  test("a file of lines takes no line feed in a string", () => {
    const entry = event(1, { payload: JSON.stringify({ metrics: { a: "two\nlines" } }) });
    expect(() => encodeLine(entry, table("telemetry"), { ...grammar, lineFeed: false })).toThrow("line feed");
  });
});

describe("any event", () => {
  const plain = fc.stringMatching(/^[a-z ,="#🌊é']{1,6}$/u);
  // oxlint-disable-next-line no-control-regex
  const nasty = fc.stringMatching(/^[a-z\\, ="\n\t\r#\u0000🌊é]{0,6}$/u);
  const text = fc.oneof(
    { weight: 40, arbitrary: plain },
    { weight: 1, arbitrary: nasty },
    { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  );
  const name = fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("a", "b", "c", "rssi_dbm") },
    { weight: 40, arbitrary: plain },
    { weight: 1, arbitrary: fc.oneof(nasty, fc.constantFrom("time", "device_id", "seq")) },
  );
  const value = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.maxSafeInteger(),
    fc.boolean(),
    text,
    fc.constant(null),
  );
  const metrics = fc.dictionary(name, value, { maxKeys: 5 });
  const known = fc.constantFrom<ColumnType>("float", "integer", "string", "boolean");
  const types = fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    fc.dictionary(fc.constantFrom("a", "b"), known),
  );
  const events = fc.record({
    seq: fc.option(fc.maxSafeInteger(), { nil: undefined }),
    metrics,
    deviceId: text,
    siteId: text,
    eventMs: fc.integer({ min: -9_300_000_000_000, max: 9_300_000_000_000 }),
    eventNs: fc.nat(999_999),
  });

  test("reads back as the same tags, fields and time, or is refused by name", () => {
    let encoded = 0;
    fc.assert(
      fc.property(events, types, (e, columns) => {
        const payload = JSON.stringify({ seq: e.seq, metrics: e.metrics });
        const entry = event(1, { ...e, seq: 1, payload });
        const line = attempt(entry, columns);
        if (typeof line === "string") return /^(metric|tag|event time) /.test(line);
        const wanted = wantedFields(e.seq, e.metrics);
        if (line === null) return wanted.size === 0;
        encoded += 1;
        // A line before and one behind it: neither may be swallowed.
        const neighbour = 'm,t=v f="x" 1';
        const [before, point, after] = parseLines(`${neighbour}\n${textOf(line)}\n${neighbour}`);
        expect([before, after].map((p) => p && "point" in p)).toEqual([true, true]);
        expect(point).toHaveProperty("point");
        const read = parseLine(textOf(line));
        expect(read.measurement).toBe("telemetry");
        expect([...read.tags]).toEqual([
          ["device_id", e.deviceId],
          ["site_id", e.siteId],
        ]);
        expect(
          new Map<string, unknown>(
            [...read.fields].map(([k, v]) => [k, typeof v.value === "bigint" ? Number(v.value) : v.value]),
          ),
        ).toEqual(wanted);
        return read.time === BigInt(e.eventMs) * 1_000_000n + BigInt(e.eventNs);
      }),
      { numRuns: 2_000 },
    );
    expect(encoded).toBeGreaterThan(100);
  });

  function attempt(entry: Entry, columns: Record<string, ColumnType>) {
    try {
      return encodeLine(entry, table("telemetry", columns), grammar);
    } catch (error) {
      if (error instanceof Unwritable) return error.message;
      throw error;
    }
  }

  function wantedFields(seq: number | undefined, all: Record<string, unknown>): Map<string, unknown> {
    const fields = new Map<string, unknown>(seq === undefined ? [] : [["seq", seq]]);
    for (const [key, v] of Object.entries(all)) if (v !== null) fields.set(key, Object.is(v, -0) ? 0 : v);
    return fields;
  }
});
