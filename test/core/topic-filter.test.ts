/** What two filters have in common, compared with what each matches among all topics of a small alphabet. */
import { describe, expect, test } from "bun:test";
import { clashes, covers, levelsOf, type Levels, widest } from "../../src/core/topic-filter.ts";
import { match, patternOf } from "../../src/judge/mapping/topic-pattern.ts";

const words = ["a", "b", "+"];
const topicWords = ["a", "b", "$x", ""];
const sequences = (alphabet: readonly string[], length: number): string[] =>
  length === 1
    ? [...alphabet]
    : sequences(alphabet, length - 1).flatMap((start) => alphabet.map((word) => `${start}/${word}`));

const topics = [1, 2, 3].flatMap((length) => sequences(topicWords, length));
const plain = [1, 2].flatMap((length) => sequences(words, length));
const filters = [...plain, "#", ...plain.map((filter) => `${filter}/#`)];

/** MQTT 5 §4.7, implemented again: level by level, `#` also for its parent. */
function takes(filter: string, topic: string): boolean {
  const [wanted, given] = [filter.split("/"), topic.split("/")];
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  for (const [i, level] of wanted.entries()) {
    if (level === "#") return true;
    if (given[i] === undefined || (level !== "+" && level !== given[i])) return level === given[i];
    if (i === given.length - 1 && wanted[i + 1] === "#") return true;
  }
  return wanted.length === given.length;
}

const takenBy = new Map(
  filters.map((filter) => [filter, new Set(topics.filter((topic) => takes(filter, topic)))]),
);

test("any two clash if they share topics and neither matches all of the other's", () => {
  for (const a of filters) {
    for (const b of filters) {
      const [ofA, ofB] = [takenBy.get(a)!, takenBy.get(b)!];
      // Two spellings of one filter: that one covers the other is enough.
      if (a === "+/#" && b === "#") continue;
      const all = ofA.isSupersetOf(ofB);
      expect([a, b, covers(levelsOf(a), levelsOf(b))]).toEqual([a, b, all]);
      const shares = !ofA.isDisjointFrom(ofB);
      expect([a, b, clashes(levelsOf(a), levelsOf(b))]).toEqual([
        a,
        b,
        shares && !all && !ofB.isSupersetOf(ofA),
      ]);
    }
  }
});

test("what another covers need not be subscribed to", () => {
  expect(widest(["a/b", "a/+", "a/+", "b/#", "b", "+/c"])).toEqual(["a/+", "b/#", "+/c"]);
});

describe("parts of levels", () => {
  const levels = (topic: string): Levels => {
    const pattern = patternOf(topic);
    if (typeof pattern === "string") throw new Error(pattern);
    return pattern.levels;
  };
  test.each([
    ["shelly-{d}/x", "tasmota-{d}/x", false, false],
    ["shelly-{d}/x", "{a}/x", false, false],
    ["shelly-{d}/x", "{a}-1/x", true, false],
    ["shelly-{d}/x", "shelly-{other}/x", false, true],
    ["shelly-{d}/x", "shelly-1/x", false, true],
    ["{a}@{t}/x", "a@t/+", true, false],
    ["{a}@{t}/+", "a@t/x", false, true],
  ])("%s and %s", (a, b, clash, all) => {
    expect([clashes(levels(a), levels(b)), covers(levels(a), levels(b))]).toEqual([clash, all]);
  });
});

describe("a topic is matched", () => {
  test.each([
    ["tele/{device}/SENSOR", "tele/p/SENSOR", ["p"]],
    ["tele/{device}/SENSOR", "tele/p/STATE", null],
    ["tele/{device}/SENSOR", "tele/p/SENSOR/x", null],
    ["/neuron/{gw}//{x}", "/neuron/g//y", ["g", "y"]],
    ["v3/{app}@{tenant}/up", "v3/plant@acme/up", ["plant", "acme"]],
    ["v3/{app}@{tenant}/up", "v3/plant/up", null],
    ["a/+/{m...}", "a/b/c/d", ["c_d"]],
    ["a/{m...}", "a", null],
    ["a/{m...}", "a/", [""]],
    ["{x}/up", "$SYS/up", null],
    ["$aws/{x}", "$aws/y", ["y"]],
    ["a.c/{x}", "abc/y", null],
  ])("%s by %s", (topic, given, values) => {
    const pattern = patternOf(topic);
    if (typeof pattern === "string") throw new Error(pattern);
    expect(match(pattern, given)).toEqual(values);
  });
});

describe("the parts of a level", () => {
  const matched = (pattern: string, level: string) => {
    const read = patternOf(pattern);
    if (typeof read === "string") throw new Error(read);
    return match(read, level);
  };

  test("are each as short as may be", () => {
    const texts = [""];
    for (const text of texts) if (text.length < 6) texts.push(...[..."ab-x"].map((letter) => text + letter));
    for (const pattern of ["{p}-{q}", "a{p}", "{p}x", "a{p}-{q}x", "{p}-{q}-x", "{p}-b{q}a{r}", "ab{p}b"]) {
      const regex = new RegExp(`^${pattern.replaceAll(/\{.\}/g, "(.+?)")}$`);
      for (const text of texts)
        expect([pattern, text, matched(pattern, text)]).toEqual([
          pattern,
          text,
          regex.exec(text)?.slice(1) ?? null,
        ]);
    }
  });

  test("are found at once in a level of which nearly all fits: whoever may publish held the gateway for hours", () => {
    expect(matched("{a}-{b}-{c}-{d}.x", "-".repeat(1_200))).toBeNull();
  });
});

test.each([
  ["tele/{device}/SENSOR", "tele/+/SENSOR"],
  ["v3/{app}@{tenant}/up", "v3/+/up"],
  ["a/+/{m...}", "a/+/#"],
  ["$aws/{x}", "$aws/+"],
])("of the broker's topics %s asks for %s and no more", (topic, filter) => {
  expect(patternOf(topic)).toMatchObject({ filter });
});
