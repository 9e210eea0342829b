/** The spool of a process that ended without closing it, but not by a kill: SQLite closes the file as it exits. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { Spool } from "../../src/spool/spool.ts";
import { defaultSpoolSettings } from "../kit/spool.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-spool-exit-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const root = join(import.meta.dir, "..", "..");

/** In a process of its own: opens the spool, writes a group and exits. */
function exitWith(last: string): void {
  const program = `
    import { systemClock } from "${root}/src/core/clock.ts";
    import { Spool } from "${root}/src/spool/spool.ts";
    import { event } from "${root}/test/contract/entries.ts";
    import { defaultSpoolSettings } from "${root}/test/kit/spool.ts";
    const spool = new Spool({ dataDir: process.argv.at(-1), settings: defaultSpoolSettings, clock: systemClock });
    spool.append([event(0)], { books: new Map() });
    ${last}`;
  const child = Bun.spawnSync([process.execPath, "-e", program, dataDir], { cwd: root });
  expect({ code: child.exitCode, error: child.stderr.toString() }).toEqual({ code: 1, error: "" });
}

function entriesNow(): number {
  const spool = new Spool({ dataDir, settings: defaultSpoolSettings, clock: systemClock });
  const { head } = spool;
  spool.close();
  return head;
}

test("a process that exits without closing the spool leaves one that opens again, with all that was in it", () => {
  for (let times = 1; times <= 3; times++) {
    exitWith("process.exit(1)");
    expect(entriesNow()).toBe(times);
  }
});

test("an orderly close leaves no write-ahead log", () => {
  exitWith("spool.close(); process.exit(1)");
  expect(existsSync(join(dataDir, "spool.db-wal"))).toBe(false);
});

test("a write-ahead log that is lost after such an exit is reported", () => {
  exitWith("process.exit(1)");
  rmSync(join(dataDir, "spool.db-wal"));
  expect(entriesNow).toThrow("spool.db-wal is missing although the spool was not closed");
});
