/** The position that is kept in DATA_DIR: read back as it was written last, or not at all. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createKeptPosition,
  readPositions,
  writePositions,
  type Positions,
} from "../../src/sink/kafka/kept.ts";
import { openFiles } from "../kit/open-files.ts";
import { noTotals } from "../contract/entries.ts";

const place = { clusterId: "cluster", topicId: "topic" };
const positions = (...seqs: readonly number[]): Positions =>
  new Map(seqs.map((seq, i) => [`epoch-${i}`, { epoch: `epoch-${i}`, seq, totals: noTotals }]));

let dataDir = "";
let path = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-kept-"));
  path = join(dataDir, "kafka-position.json");
});
afterEach(() => rmSync(dataDir, { recursive: true }));

test("a shorter one is read back after a longer one", () => {
  const kept = createKeptPosition(dataDir);
  const longest = positions(...Array.from({ length: 500 }, (_, i) => 1_000_000 + i));
  for (const each of [positions(1), longest, positions(2, 3), positions(4)]) {
    const words = writePositions(each);
    kept.write(place, words);
    expect(writePositions(kept.read(place))).toBe(words);
  }
  expect(statSync(path).size).toBe(8_192);
  expect(openFiles()).not.toContain(realpathSync(path));
});

test("as many of the newest are kept as a broker takes", () => {
  const rows = (words: string) => JSON.parse(words) as [string, number][];
  for (const count of [1, 2, 100, 500]) {
    const written = rows(writePositions(positions(...Array.from({ length: count }, (_, i) => i))));
    expect(written.map(([, seq]) => seq)).toEqual(written.map((_, i) => count - written.length + i));
    const bytes = JSON.stringify(written).length;
    expect(bytes).toBeLessThanOrEqual(4_001);
    // The next older one would not have had room.
    if (written.length < count) expect(bytes).toBeGreaterThan(4_000 - 2 * JSON.stringify(written[0]).length);
    else expect(count).toBeLessThan(500);
  }
});

test.each([
  "",
  "{}",
  "null",
  "[1, null]",
  '[{"epoch": 1}]',
  '[["of another program", 1, 2, 3, 4, 5]]',
  '[["epoch", "1", 2, 3, 4, 5]]',
  '[["epoch", 0.5]]',
  "[[7]]",
])("words of another program, %j, hold no position", (words) => {
  expect(readPositions(words).size).toBe(0);
});

test("one of another cluster or topic says nothing", () => {
  const kept = createKeptPosition(dataDir);
  kept.write(place, writePositions(positions(7)));
  expect(kept.read({ ...place, clusterId: "other" }).size).toBe(0);
  expect(kept.read({ ...place, topicId: "other" }).size).toBe(0);
});

test("one of which a loss of power left parts says nothing", () => {
  const kept = createKeptPosition(dataDir);
  kept.write(place, writePositions(positions(1_999)));
  writeFileSync(path, readFileSync(path, "utf8").replace("1999", "2999"));
  expect(kept.read(place).size).toBe(0);
});

test("one of an earlier version is believed", () => {
  writeFileSync(path, JSON.stringify({ ...place, words: writePositions(positions(7)) }));
  expect(createKeptPosition(dataDir).read(place).get("epoch-0")?.seq).toBe(7);
});
