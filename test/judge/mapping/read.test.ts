/** What a mapping makes of a payload, and what it calls a misfit. */
import { describe, expect, test } from "bun:test";
import { partOf } from "../../../src/judge/mapping/each.ts";
import { readMappingFile } from "../../../src/judge/mapping/file.ts";
import { jsonOf } from "../../../src/judge/mapping/envelope.ts";
import { router } from "../../../src/judge/mapping/routes.ts";

/** What one mapping on topic a/{device} reads from a payload. */
function read(lines: string, payload: unknown, topic = "a/d1") {
  const on = lines.includes("topic") ? "" : 'topic = "a/{device}"\n';
  const { mappings, mistakes } = readMappingFile(`tenant = "acme"\n[[mapping]]\n${on}${lines}\n`);
  expect(mistakes).toEqual([]);
  const route = router(mappings)(topic);
  if (route === undefined) throw new Error("no mapping takes it");
  return route.mapping.read(route.names, payload, undefined);
}

const metricsOf = (lines: string, payload: unknown, topic?: string) => {
  const [outcome, ...others] = read(lines, payload, topic);
  expect(others).toEqual([]);
  expect(outcome?.why).toBeNull();
  return jsonOf(outcome?.metrics);
};

describe("metrics", () => {
  test.each<[string, string, unknown, string]>([
    [
      "the whole record, less what other keys point at",
      'time = "/t"\nsite = "/w/s"',
      { t: 1, w: { s: "x", y: 2 }, z: 3 },
      '{"w_y":2,"z":3}',
    ],
    ["without the token", "", { provision_token: "t", z: 3 }, '{"z":3}'],
    ["an object by its members' names", 'metrics = "/o"', { o: { p: { q: 1 } } }, '{"p_q":1}'],
    ["a value by its last step", 'metrics = ["/o/p", "/l/1"]', { o: { p: 1 }, l: [7, 8] }, '{"1":8,"p":1}'],
    ["by names of one's own", 'metrics = { a = "/o", b = "/v" }', { o: { p: 1 }, v: 2 }, '{"a_p":1,"b":2}'],
    ["a list by its index", 'metrics = "/l"', { l: [1, [2]] }, '{"l_0":1,"l_1_0":2}'],
    ["with a slash and a tilde in a step", 'metrics = "/a~1b/c~0d"', { "a/b": { "c~d": 1 } }, '{"c~d":1}'],
    ["less what is dropped", 'metrics = "/o"\ndrop = ["/o/x", "/none"]', { o: { x: 1, y: 2 } }, '{"y":2}'],
    ["null stays, for it says something", "", { x: null }, '{"x":null}'],
    [
      "text that reads as a number becomes one",
      'text = "number"',
      { a: "1.50", b: "true", c: "x", d: "01", e: "9007199254740993", f: "1e999" },
      '{"a":1.5,"b":true,"c":"x","d":"01","e":9007199254740993,"f":"1e999"}',
    ],
    ["text is left out", 'text = "drop"', { a: "1", b: 2, c: true }, '{"b":2,"c":true}'],
    ["long whole numbers keep their digits", "", { a: 9007199254740993n }, '{"a":9007199254740993}'],
    [
      "names that every object has are found only if it has them",
      "",
      JSON.parse('{"__proto__":1,"constructor":2}'),
      '{"__proto__":1,"constructor":2}',
    ],
    ["a name and a value", 'name = "/n"\nvalue = "/v"', { n: "t", v: 5 }, '{"t":5}'],
    ["a value that is an object, under its name", 'name = "p"\nvalue = "/v"', { v: { x: 1 } }, '{"p_x":1}'],
    ["the record under a name", 'name = "{device}"', { x: 1 }, '{"d1_x":1}'],
  ])("%s", (_, lines, payload, wanted) => {
    expect(metricsOf(lines, payload)).toBe(wanted);
  });

  test("the payload under the topic's rest", () => {
    expect(metricsOf('topic = "{device}/{metric...}"', 21.5, "d1/em/0/power")).toBe('{"em_0_power":21.5}');
  });
});

describe("a misfit names what does not fit", () => {
  const deep = JSON.parse(`${'{"a":'.repeat(10)}1${"}".repeat(10)}`) as unknown;
  test.each<[string, string, unknown, string]>([
    ["a pointer that finds nothing", 'metrics = ["/a", "/b/c"]', { a: 1, b: {} }, "/b/c finds nothing"],
    ["no inherited member", 'metrics = "/constructor"', {}, "/constructor finds nothing"],
    ["nor a list's length", 'metrics = "/l/length"', { l: [1] }, "/l/length finds nothing"],
    ["a list without each", "", [{ a: 1 }], "a list needs each"],
    ["a plain value without a name", "", 5, "is no object"],
    ["no metric", 'text = "drop"', { a: "x" }, "it yields no metric"],
    ["an empty object", "", {}, "it yields no metric"],
    ["a metric twice", "", { a_b: 1, a: { b: 2 } }, 'metric "a_b" is named twice'],
    [
      "a metric of two pointers",
      'metrics = ["/a/x", "/b/x"]',
      { a: { x: 1 }, b: { x: 2 } },
      'metric "x" is named twice',
    ],
    ["too deep", "", deep, "nested deeper than 8 levels"],
    ["no value", 'name = "t"\nvalue = "/v"', { w: 1 }, "/v finds nothing"],
    ["no name", 'name = "/n"', { v: 1 }, "/n finds no name"],
    ["nothing at all", 'topic = "{device}/{metric}"', "", "the payload is empty"],
    ["no device", 'topic = "a/+"\ndevice = "/id"', { x: 1 }, "device = /id finds none"],
    [
      "a device that is no name",
      'topic = "a/+"\ndevice = "/id"',
      { id: "a/b", x: 1 },
      "its device is no name",
    ],
    ["a tenant that is no name", 'tenant = "/t"', { t: "a/b", x: 1 }, "its tenant is no name"],
    ["each without members", 'each = "/l/*"', { l: [] }, "/l/* finds nothing"],
    ["each without a list", 'each = "/l/*"', { l: 5 }, "/l/* finds no member at /l"],
    ["each with an escaped step", 'each = "/a~1b/*"', { "a/b": [] }, "/a~1b/* finds nothing"],
    ["each that lacks a step", 'each = "/l/*"', {}, "/l/* finds no member at /"],
    [
      "a list of names without any value",
      'each = "/*"\nname = "/n"\nvalue = "/v"',
      [{ n: "a" }, { n: "b" }],
      "no member that has a value",
    ],
    [
      "more events than may be",
      'each = "/*"\nmetrics = "/v"',
      Array.from({ length: 101 }, () => ({ v: 1 })),
      "it makes 101 events, 100 are allowed",
    ],
    [
      "more members than may be",
      'each = "/*"\nname = "/n"',
      Array.from({ length: 5_001 }, () => 1),
      "more than 5000 members",
    ],
  ])("%s", (_, lines, payload, why) => {
    const [outcome, ...others] = read(lines, payload, lines.includes("{metric}") ? "d1/x" : undefined);
    expect(others).toEqual([]);
    expect(outcome?.why).toContain(why);
  });
});

describe("several records", () => {
  const tags = 'each = "/vals/*"\nname = "/id"\nvalue = "/v"\ntime = "/t"';

  test("with the same device and time are one event; another time is another event", () => {
    const payload = {
      t: 1,
      vals: [{ id: "a", v: 1 }, { id: "b", v: 2, t: 2 }, { id: "c", v: 3 }, { id: "d" }],
    };
    const outcomes = read(tags, payload);
    expect(outcomes.map(({ time, metrics, part }) => [time, { ...metrics }, part])).toEqual([
      [
        1,
        { a: 1, c: 3 },
        {
          t: 1,
          vals: [{ id: "a", v: 1 }, { id: "c", v: 3 }, { id: "d" }],
        },
      ],
      [2, { b: 2 }, { t: 1, vals: [{ id: "b", v: 2, t: 2 }] }],
    ]);
  });

  test("a metric that is named twice spoils only its own event", () => {
    const payload = {
      vals: [
        { id: "a", v: 1, t: 1 },
        { id: "a", v: 2, t: 1 },
        { id: "a", v: 3, t: 2 },
      ],
    };
    expect(read(tags, payload).map(({ why }) => why)).toEqual(['metric "a" is named twice', null]);
  });

  test("a member without a value does not get the payload's", () => {
    expect(
      read(tags, { v: 9, vals: [{ id: "a" }, { id: "b", v: 1 }] }).map(({ metrics }) => ({ ...metrics })),
    ).toEqual([{ b: 1 }]);
  });

  test("members that name their device are separate, and one misfit spoils no other", () => {
    const lines = 'topic = "gw"\neach = "/{device}/*"\nmetrics = "/v"\ntime = "/ts"';
    const payload = {
      d1: [
        { ts: 1, v: { x: 1 } },
        { ts: 2, v: { x: 2 } },
      ],
      d2: [{ ts: 1 }],
      "d/3": [{ v: { x: 1 } }],
      d4: 5,
    };
    const outcomes = read(lines, payload, "gw");
    expect(outcomes.map(({ who, why }) => [who.deviceId, why])).toEqual([
      ["d1", null],
      ["d1", null],
      ["d2", "/v finds nothing"],
      ["d/3", "its device is no name"],
      ["d4", "/{device}/* finds no member at /d4"],
    ]);
    expect(outcomes[1]?.part).toEqual({ d1: [{ ts: 2, v: { x: 2 } }] });
    expect(outcomes[4]?.part).toEqual({ d4: 5 });
  });

  test("to take out a part of many members looks at each path a few times", () => {
    const count = 1_000;
    let looks = 0;
    const counted: ProxyHandler<number[]> = {
      get(path, name) {
        looks += 1;
        return Reflect.get(path, name) as unknown;
      },
    };
    const paths = Array.from({ length: count }, (_, i) => new Proxy([i], counted));
    const payload = Array.from({ length: count + 1 }, () => ({ x: 1 }));
    expect(partOf(payload, paths, [{ kind: "any" }])).toEqual(payload.slice(1));
    expect(looks).toBeLessThan(10 * count);
  });

  test("a part is read as its event was", () => {
    const lines = 'topic = "gw"\neach = "/l/{device}"\ntime = "/ts"\nmetrics = "/v"';
    const payload = { ts: 7, other: [1, 2], l: { d1: { v: { x: 1 } }, d2: { v: { x: 2 } } } };
    for (const outcome of read(lines, payload, "gw")) {
      const [again, ...others] = read(lines, outcome.part, "gw");
      expect(others).toEqual([]);
      expect({ ...again, part: null }).toEqual({ ...outcome, part: null });
    }
  });
});

describe("who speaks", () => {
  const who = (lines: string, payload: unknown, topic?: string) => {
    const [outcome] = read(lines, payload, topic);
    const { tenantId, deviceId, msgType, siteId } = outcome!.who;
    return [tenantId, deviceId, msgType, siteId];
  };
  test.each<[string, string, unknown, string | undefined, (string | null)[]]>([
    [
      "by levels",
      'topic = "{tenant}/{device}/{type}/{site}"',
      { x: 1 },
      "t/d/energy/s",
      ["t", "d", "energy", "s"],
    ],
    ["by parts of a level", 'topic = "{device}@{tenant}"', { x: 1 }, "d@t", ["t", "d", "telemetry", null]],
    [
      "by the payload",
      'tenant = "/t"\ndevice = "/n"\ntype = "/k"\nsite = "/s"',
      { t: "t", n: 17, k: "energy", s: "s", x: 1 },
      undefined,
      ["t", "17", "energy", "s"],
    ],
    [
      "else as the file says",
      'tenant = "/t"\ntype = "/k"\nsite = "/s"',
      { x: 1 },
      undefined,
      ["acme", "d1", "telemetry", null],
    ],
    [
      "by text with levels",
      'topic = "{a}/{b}"\ndevice = "{b}-{a}"',
      { x: 1 },
      "p/q",
      ["acme", "q-p", "telemetry", null],
    ],
  ])("%s", (_, lines, payload, topic, wanted) => {
    expect(who(lines, payload, topic)).toEqual(wanted);
  });
});
