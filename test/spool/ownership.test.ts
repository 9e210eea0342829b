/** Who owns a spool, and which starts it remembers, so that no entry is lost or delivered twice. */
import { simulatedClock } from "../kit/clock.ts";
import { afterEach, expect, test } from "bun:test";
import { copyFileSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { resumeFrom } from "../../src/drain/resume.ts";
import { SpoolFull } from "../../src/spool/disk.ts";
import { anEntry, emptyRecord, littleRoom, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();

function made(dir: string): string {
  mkdirSync(dir);
  return dir;
}
afterEach(() => kit.clear());

test("a gateway whose lock was removed acknowledges nothing once another has opened its spool, and loses nothing", () => {
  const dataDir = kit.dir();
  const first = kit.spool({ dataDir });
  first.append([anEntry(), anEntry()], emptyRecord);
  rmSync(join(dataDir, "spool.lock"));
  const second = kit.spool({ dataDir });
  expect(() => first.append([anEntry()], emptyRecord)).toThrow(SpoolFull);
  expect(() => first.append([anEntry()], emptyRecord)).toThrow("another gateway has opened the spool");
  second.append([anEntry(), anEntry()], emptyRecord);
  expect(second.head).toBe(4);
  kit.close(first);
  kit.close(second);
  expect(kit.spool({ dataDir }).head).toBe(4);
});

test("a gateway whose lock was removed takes no dead letter from another that has opened its spool", () => {
  const dataDir = kit.dir();
  const first = kit.spool({ dataDir, letterAgeMaxDays: 1 });
  rmSync(join(dataDir, "spool.lock"));
  // Its letter is too old by the first one's clock.
  const second = kit.spool({ dataDir, clock: simulatedClock(Date.UTC(2026, 10, 18)) });
  second.deadLetters.putAll("postgres", [{ epoch: "e", entry: anEntry({ seq: 1 }), why: "no" }]);
  for (const take of [
    () => first.deadLetters.expire(),
    () => first.deadLetters.remove([second.deadLetters.lastId()]),
    () => first.deadLetters.takeBack("postgres", ["e"], 1),
  ])
    expect(take).toThrow("another gateway has opened the spool");
  expect(second.deadLetters.totals().count).toBe(1);
});

for (const file of ["spool.db", "spool.db-wal"]) {
  for (const [how, lose] of Object.entries({
    moved: () => {},
    replaced: (path: string, aside: string) => copyFileSync(aside, path),
  })) {
    test(`${file} ${how} while it runs: nothing more is acknowledged until it is back, and nothing is lost`, () => {
      const dataDir = kit.dir();
      const path = join(dataDir, file);
      const aside = join(dataDir, "aside");
      const spool = kit.spool({ dataDir });
      spool.append([anEntry()], emptyRecord);
      renameSync(path, aside);
      lose(path, aside);
      expect(() => spool.append([anEntry()], emptyRecord)).toThrow(SpoolFull);
      expect(() => spool.append([anEntry()], emptyRecord)).toThrow(`${path} was moved, removed or replaced`);
      const letters = [{ epoch: "e", entry: anEntry({ seq: 1 }), why: "no" }];
      expect(() => spool.deadLetters.putAll("postgres", letters)).toThrow(`${path} was moved`);
      rmSync(path, { force: true });
      renameSync(aside, path);
      spool.append([anEntry()], emptyRecord);
      kit.close(spool);
      expect(kit.spool({ dataDir }).head).toBe(2);
    });
  }
}

test("a spool that was put in the place of one that is open keeps its log and its state when that one is closed", () => {
  const dataDir = join(kit.dir(), "data");
  const first = kit.spool({ dataDir: made(dataDir) });
  first.append([anEntry(), anEntry()], emptyRecord);
  const snapshot = `${dataDir}-snapshot`;
  cpSync(dataDir, snapshot, { recursive: true });
  renameSync(dataDir, `${dataDir}-aside`);
  renameSync(snapshot, dataDir);
  kit.close(first);
  expect(readFileSync(join(dataDir, "spool.state"), "utf8")).toBe("open\n");
  expect(kit.spool({ dataDir }).head).toBe(2);
  expect(kit.spool({ dataDir: `${dataDir}-aside` }).head).toBe(2);
});

const noneHeld = { delivered: 0, ignored: 0, refused: 0, skipped: 0 };

test("every start is remembered while any entry of it is held, however many there are", () => {
  const dataDir = kit.dir();
  const starts = 1_050;
  const epochs: string[] = [];
  for (let i = 0; i < starts; i++) {
    const spool = kit.spool({ dataDir });
    spool.keepFor(["postgres", "influx"]);
    spool.append([anEntry()], emptyRecord);
    epochs.push(spool.epochs.at(-1)?.epoch ?? "");
    kit.close(spool);
  }
  const spool = kit.spool({ dataDir });
  expect(spool.epochs.map(({ epoch }) => epoch).slice(0, starts)).toEqual(epochs);
  // PostgreSQL committed up to the tenth entry and has been away since: it continues after that one, not at the oldest
  // held.
  const position = { epoch: epochs[9] ?? "", seq: 10, totals: noneHeld };
  expect(resumeFrom(spool, [position], 0).seq).toBe(10);
}, 60_000);

test("of starts whose entries are settled the last thousand are remembered", () => {
  const dataDir = kit.dir();
  const clock = simulatedClock();
  for (let i = 0; i < 1_010; i++) {
    const spool = kit.spool({ dataDir, clock, ...littleRoom });
    spool.keepFor(["postgres"]);
    spool.append([anEntry()], emptyRecord);
    spool.setCursor("postgres", {
      start: 0,
      seq: i + 1,
      ...noneHeld,
      delivered: i + 1,
      detours: new Map(),
    });
    clock.advance(1_000);
    kit.close(spool);
  }
  expect(kit.spool({ dataDir }).epochs.length).toBe(1_000);
}, 60_000);
