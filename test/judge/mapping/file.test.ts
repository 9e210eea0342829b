/** Every mistake in a file of mappings is reported, with line and column, and then none of the file is used. */
import { describe, expect, test } from "bun:test";
import { readMappingFile } from "../../../src/judge/mapping/file.ts";

const mapping = (...lines: string[]) =>
  `tenant = "acme"\n[[mapping]]\ntopic = "a/{device}"\n${lines.join("\n")}\n`;

describe("one mistake", () => {
  test.each([
    ["an open quote", 'tenant = "acme\n', 1, 15, "the quote that ends the text is missing"],
    ["no value", "tenant =\n", 1, 9, "a key without a value is left out"],
    ["text without quotes", "tenant = acme\n", 1, 10, 'text stands in quotes ("acme")'],
    ["nothing in it", "", 1, 1, "there is no [[mapping]]"],
    ["a table and no list", '[mapping]\ntopic = "a/{device}"', 1, 1, "mapping is written [[mapping]]"],
    [
      "a table below other lines",
      'tenant = "acme"\n\n[mapping]\ntopic = "a/{device}"',
      3,
      1,
      "is written [[mapping]]",
    ],
    [
      "an unknown key at the top",
      'colour = 1\n[[mapping]]\ntopic = "a/{tenant}/{device}"',
      1,
      1,
      "colour is no key at the top",
    ],
    ["an unknown key", mapping("tme = '/t'"), 4, 1, "tme is no key of a mapping"],
    ["no topic", 'tenant = "acme"\n[[mapping]]\ndevice = "d"', 2, 1, "topic is missing"],
    ["a topic of another type", 'tenant = "acme"\n[[mapping]]\n\ntopic = 7', 4, 1, "topic must be text"],
    ["an empty topic", '[[mapping]]\ntopic = ""', 2, 1, "topic is empty"],
    [
      "a rest that is not last",
      '[[mapping]]\n  topic = "a/{device...}/b"',
      2,
      3,
      "{device...} must be the last level",
    ],
    ["# in a topic", '[[mapping]]\ntopic = "a/#"', 2, 1, "for # write {name...}"],
    ["a brace that is open", '[[mapping]]\ntopic = "a/{device"', 2, 1, '"{device" is no level'],
    [
      "names that nothing parts",
      '[[mapping]]\ntopic = "a/{tenant}{device}"',
      2,
      1,
      "nothing parts two names",
    ],
    [
      "a level twice",
      '[[mapping]]\ntopic = "{tenant}/{device}/{device}"',
      2,
      1,
      "{device} stands in it twice",
    ],
    ["a shared subscription", '[[mapping]]\ntopic = "$share/g/{tenant}/{device}"', 2, 1, "MQTT_SHARE_GROUP"],
    ["no device", '[[mapping]]\ntenant = "acme"\ntopic = "a/b"', 3, 1, "names no device"],
    ["no tenant", '[[mapping]]\ntopic = "a/{device}"', 2, 1, "names no tenant"],
    [
      "a tenant that is none",
      'tenant = "a/b"\n[[mapping]]\ntopic = "a/{device}"',
      1,
      1,
      "tenant must be a name",
    ],
    ["a level that there is not", mapping('device = "{unit}"'), 4, 1, "{unit} is neither a level"],
    ["an empty value", mapping('site = ""'), 4, 1, "site is empty"],
    ["a value of another type", mapping("type = 1"), 4, 1, "type must be text"],
    ["a pointer with a tilde", mapping('time = "/a~b"'), 4, 1, "time is no JSON pointer"],
    ["a time that is plain", mapping('time = "now"'), 4, 1, 'must be a JSON pointer such as "/now"'],
    ["a token in a list", mapping('token = "/keys/0"'), 4, 1, "whose last step is a name"],
    ["metrics that are no pointer", mapping('metrics = ["/a", "b"]'), 4, 1, '"b" is no JSON pointer'],
    ["a named metric that is none", mapping("metrics = { a = 1 }"), 4, 1, "a = … must be a JSON pointer"],
    [
      "a named metric in a table",
      mapping("[mapping.metrics]", "a = 1"),
      4,
      1,
      "a = … must be a JSON pointer",
    ],
    ["a type that is no name", mapping('  type = "a/b"'), 4, 3, 'type is "a/b": must be a name'],
    ["a device that is no name", mapping('device = "a+b"'), 4, 1, 'device is "a+b": must be a name'],
    ["a site that is no name", mapping('site = "a\\u0007"'), 4, 1, "must be a name"],
    ["no metrics", mapping("metrics = []"), 4, 1, "metrics names no metric"],
    ["the token as a metric", mapping('metrics = "/provision_token"'), 4, 1, "is the token"],
    ["metrics and a name", mapping('metrics = "/a"', 'name = "/n"'), 4, 1, "in two ways"],
    ["a value without a name", mapping('value = "/v"'), 4, 1, "needs the metric's name"],
    ["each that names one", mapping('each = "/a/b"'), 4, 1, "each has no step * or {name}"],
    ["each with an escape that is none", mapping('each = "/a~2/*"'), 4, 1, "each is no JSON pointer"],
    ["each without a slash", mapping('each = "*"'), 4, 1, "each must be a path"],
    [
      "each that names a level again",
      mapping('each = "/{device}"'),
      4,
      1,
      "{device} is a level of the topic too",
    ],
    ["a word that is none", mapping('text = "number "'), 4, 1, "must be one of keep, number, drop"],
    ["raw that is text", mapping('raw = "no"'), 4, 1, "raw must be true or false"],
    [
      "our own topic",
      '[[mapping]]\ntopic = "tenant/{tenant}/device/{device}/x"',
      2,
      1,
      "Sluice's own, which is asked first: leave this mapping out",
    ],
    ["a topic twice", twice("{tenant}/{device}", "{tenant}/{device}"), 5, 1, "leave one of them out"],
    ["the wider first", twice("{tenant}/{device}", "{tenant}/b{device}"), 5, 1, "put the narrower first"],
    [
      "a part of our own",
      '[[mapping]]\ntopic = "{tenant}/+/device/{device}/x"',
      2,
      1,
      "neither contains the other",
    ],
  ])("%s", (_, text, line, column, why) => {
    const { mistakes } = readMappingFile(text);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toStartWith(`line ${line}, column ${column}: `);
    expect(mistakes[0]).toContain(why);
  });
});

function twice(first: string, second: string): string {
  const [one, other] = [first, second].map((topic) => `[[mapping]]\ntopic = "${topic}"\n`);
  return `${one}\n${other}`;
}

test("all mistakes are reported at once, in the order of the file", () => {
  const text = `site = 1
[[mapping]]
topic = "a/{device}"   # [[mapping]] in a comment
time = "now"
type = '''
[[mapping]]
'''
[[mapping]]
proof = "none"
"topic" = "b/{tenant}/{device}"
[mapping.metrics]
a = "b"
`;
  expect(readMappingFile(text).mistakes.map((mistake) => mistake.slice(0, mistake.indexOf(":")))).toEqual([
    "line 1, column 1",
    "line 3, column 1",
    "line 4, column 1",
    // A type of two lines is no name.
    "line 5, column 1",
    "line 9, column 1",
    "line 11, column 1",
  ]);
});

test("a mistake of syntax hides none in the other mappings", () => {
  const text = '[[mapping]]\ntopic = "a\n\n[[mapping]]\ntopic = b\n[[mapping]]\ntopic = "c/{device}"\n';
  const { mistakes } = readMappingFile(text);
  const places = mistakes.map((mistake) => mistake.slice(0, mistake.indexOf(",")));
  expect(places).toEqual(["line 2", "line 5", "line 7"]);
});

test.each([
  ["in a mapping", 'tenant = "a"\n[[mapping]]\ntopic = "a\n[[mapping]]\ntopic = "b/{device}"\ntime = "t"\n'],
  ["at the top", 'tenant = \n[[mapping]]\n\n\ntopic = "b/{device}"\ntime = "t"\n'],
])("a mistake of syntax %s hides none of the other kinds in the others", (_, text) => {
  const { mistakes } = readMappingFile(text);
  expect(mistakes).toHaveLength(2);
  expect(mistakes[0]).toContain("no TOML");
  expect(mistakes[1]).toStartWith('line 6, column 1: time is "t": must be');
});

test("a topic that is wrong hides no mistake of its mapping", () => {
  const text =
    'tenant = "a"\n[[mapping]]\ntopic = "a/{device}/#"\ndevice = "a/b"\ntime = "t"\nsite = "{where}"\n';
  const places = readMappingFile(text).mistakes.map((mistake) => mistake.slice(0, mistake.indexOf(",")));
  expect(places).toEqual(["line 3", "line 4", "line 5"]);
});

describe("two mappings", () => {
  const two = (a: string, b: string) =>
    readMappingFile(`tenant = "acme"\n[[mapping]]\ntopic = "${a}"\n[[mapping]]\ntopic = "${b}"\n`).mistakes;
  test.each([
    ["ha/{domain}/{device}/x", "{device}/sensor/{m}/x"],
    ["tele/{device}/{m...}", "tele/{device}/SENSOR"],
    ["tele/{device}/SENSOR", "tele/{device}/SENSOR"],
    ["a-{device}/x/{m}", "b-{device}/{m}/y"],
  ])("%s and %s: the mistake names both lines", (a, b) => {
    const [mistake, ...others] = two(a, b);
    expect(others).toEqual([]);
    expect(mistake).toStartWith("line 5, column 1: ");
    expect(mistake).toContain("line 3");
  });

  test.each([
    ["tele/{device}/SENSOR", "tele/{device}/{m...}"],
    ["a-{device}/x", "b-{device}/x"],
    ["zigbee2mqtt/{device}", "tele/{device}/{m}"],
    ["{x}/{y}/{z}/{device}/{m}", "b/{device}"],
  ])("%s and %s may stand beside one another", (a, b) => {
    expect(two(a, b)).toEqual([]);
  });
});
