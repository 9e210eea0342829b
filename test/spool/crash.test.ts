/** The spool across processes: kill -9 at random moments, the lock, and a disk without room. */
import { afterEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SpoolFull } from "../../src/spool/disk.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { compactSpool } from "../../src/spool/tools/compact.ts";
import { spoolStatus } from "../../src/spool/tools/status.ts";
import { verifySpool } from "../../src/spool/tools/verify.ts";
import { simulatedClock } from "../kit/clock.ts";
import { anEntry, incompressible, emptyRecord, readAll, settledTo, spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const writer = fileURLToPath(import.meta.resolve("../kit/spool-writer.ts"));

/** A process that writes until it has printed `lines` lines; `durable` is what it reported as durable. */
async function writeUntil(dataDir: string, lines: number) {
  const child = Bun.spawn([process.execPath, writer, dataDir], { stdout: "pipe", stderr: "inherit" });
  const said: string[] = [];
  let rest = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    said.push(...parts);
    if (said.length > lines) break;
  }
  return { child, durable: Number(said.at(-1)?.replace("open ", "")) };
}

async function kill(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}

describe("kill -9", () => {
  test("at any moment leaves everything for which append had returned, in whole groups, without a hole, with true books", async () => {
    const dataDir = kit.dir();
    let before = 0;
    for (let round = 0; round < 12; round++) {
      const { child, durable } = await writeUntil(dataDir, (round * 17) % 60);
      await Bun.sleep(Math.random() * 20);
      await kill(child);
      const spool = kit.spool({ dataDir });
      expect(spool.head).toBeGreaterThanOrEqual(durable);
      expect(spool.head).toBeGreaterThanOrEqual(before);
      const all = readAll(spool);
      expect(all.length).toBe(spool.head);
      expect(all.every((e, i) => e.seq === i + 1 && e.payload === `{"n":${i + 1}}`)).toBe(true);
      expect(spool.sidecar.books().get("accepted") ?? 0).toBe(spool.head);
      // The cursor is written now and then: it may lag but never lead, and its counts match it.
      const { seq, delivered } = spool.cursorOf("postgres");
      expect(delivered).toBe(seq);
      expect(seq).toBeLessThanOrEqual(spool.head);
      // Each group's fingerprint is the seq of its first entry: the last is that of the last group.
      const print = spool.sidecar.packets().at(-2);
      expect(print === undefined ? 0 : spool.read(print).at(-1)?.seq).toBe(spool.head);
      before = spool.head;
      kit.close(spool);
    }
    expect(before).toBeGreaterThan(1_000);
  });

  test("releases the lock, which until then keeps every other process out", async () => {
    const dataDir = kit.dir();
    const { child } = await writeUntil(dataDir, 1);
    expect(() => kit.spool({ dataDir })).toThrow("in use by another gateway");
    const second = spawnSync(process.execPath, [writer, dataDir], { encoding: "utf8" });
    expect(second.status).not.toBe(0);
    expect(second.stderr).toContain(`the spool in ${dataDir} is in use by another gateway`);
    await kill(child);
    expect(kit.spool({ dataDir }).head).toBeGreaterThan(0);
  });
});

function mount(dir: string, megabytes: number): boolean {
  return Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", dir]).success;
}

function unmount(dir: string): void {
  Bun.spawnSync(["umount", "-l", dir]);
}

/** A file system of its own, if this user may mount one. */
const disk = join(kit.dir(), "disk");
mkdirSync(disk);
const mounted = mount(disk, 8);
if (mounted) unmount(disk);

describe.skipIf(!mounted)("a full disk (needs the right to mount a tmpfs)", () => {
  function onSmallDisk(use: (dataDir: string) => void, megabytes = 8): void {
    const dir = kit.dir();
    expect(mount(dir, megabytes)).toBe(true);
    try {
      use(dir);
    } finally {
      unmount(dir);
    }
  }
  const bulky = () => [anEntry({ payload: incompressible(50_000) })];
  const fill = (append: () => void) => {
    for (;;) {
      try {
        append();
      } catch (error) {
        return error;
      }
    }
  };

  test("makes the whole append fail, and the spool continues once there is room", () => {
    onSmallDisk((dataDir) => {
      const ballast = join(dataDir, "ballast");
      const spool = kit.spool({ dataDir });
      writeFileSync(ballast, Buffer.alloc(4_000_000));
      let accepted = 0;
      const append = () => {
        spool.append(bulky(), { books: new Map([["accepted", accepted + 1]]), packets: [accepted + 1, 1] });
        accepted++;
      };
      const error = fill(append);
      expect(error).toBeInstanceOf(SpoolFull);
      expect(String(error)).toContain("the spool cannot be written");
      expect(append).toThrow(SpoolFull);
      expect(spool.head).toBe(accepted);
      expect(readAll(spool)).toHaveLength(accepted);
      rmSync(ballast);
      append();
      kit.close(spool);
      const again = kit.spool({ dataDir });
      expect(again.head).toBe(accepted);
      expect(readAll(again)).toHaveLength(accepted);
      expect(again.sidecar.books().get("accepted")).toBe(accepted);
      expect(again.sidecar.packets()).toHaveLength(2 * accepted);
      kit.close(again);
    });
  });

  test("that takes no writes, as after a fault, is named as such, and the spool on it can be read: it may be all that is left", () => {
    onSmallDisk((dataDir) => {
      const spool = kit.spool({ dataDir });
      spool.append([anEntry()], emptyRecord);
      kit.close(spool);
      expect(Bun.spawnSync(["mount", "-o", "remount,ro", dataDir]).success).toBe(true);
      const readOnly = `the file system of ${dataDir} is mounted read-only`;
      expect(spoolStatus(dataDir)).toMatchObject({ head: 1, entries: 1 });
      expect(verifySpool({ dataDir, told: () => ({ spooled: 1, balanced: true }) })).toMatchObject({
        entries: 1,
        sound: true,
      });
      expect(() => kit.spool({ dataDir })).toThrow(readOnly);
    });
  });

  test("that others fill to the last byte keeps nobody from reading the spool on it that was closed", () => {
    onSmallDisk((dataDir) => {
      const spool = kit.spool({ dataDir });
      spool.append([anEntry()], emptyRecord);
      kit.close(spool);
      expect(() => writeFileSync(join(dataDir, "others"), Buffer.alloc(9_000_000))).toThrow("ENOSPC");
      expect(() => kit.spool({ dataDir })).toThrow(`the disk of ${dataDir} is full: make room on it`);
      expect(spoolStatus(dataDir)).toMatchObject({ head: 1, entries: 1 });
    });
  });

  test("has no room for a spool that is written anew: that is said, and the spool is as it was", () => {
    onSmallDisk((dataDir) => {
      const spool = kit.spool({ dataDir });
      for (let n = 0; n < 40; n++) spool.append(bulky(), emptyRecord);
      kit.close(spool);
      expect(() => writeFileSync(join(dataDir, "others"), Buffer.alloc(5_500_000))).not.toThrow();
      expect(() => compactSpool(dataDir)).toThrow(`the disk of ${dataDir} is full: make room`);
      expect(verifySpool({ dataDir, told: () => ({ spooled: 40, balanced: true }) })).toMatchObject({
        entries: 40,
        sound: true,
      });
    });
  });

  test("has no room to compact a spool that was not closed: it starts all the same once there is room", () => {
    onSmallDisk((dataDir) => {
      const running = kit.dir();
      const first = kit.spool({ dataDir: running });
      for (let n = 0; n < 40; n++) first.append(bulky(), emptyRecord);
      kit.close(first);
      kit.spool({ dataDir: running }).append([anEntry()], emptyRecord);
      cpSync(running, dataDir, { recursive: true });
      const others = join(dataDir, "others");
      expect(() => writeFileSync(others, Buffer.alloc(9_000_000))).toThrow("ENOSPC");
      expect(() => compactSpool(dataDir)).toThrow("full");
      rmSync(others);
      expect(kit.spool({ dataDir }).head).toBe(41);
    });
  });

  test("whose inodes others use up is named as such: all but none of it is taken", () => {
    onSmallDisk((dataDir) => {
      expect(Bun.spawnSync(["mount", "-o", "remount,nr_inodes=4", dataDir]).success).toBe(true);
      for (const name of ["one", "two", "three"]) writeFileSync(join(dataDir, name), "");
      expect(() => kit.spool({ dataDir })).toThrow("no inode left for a new file (`df -i` shows it)");
      rmSync(join(dataDir, "one"));
      expect(() => kit.spool({ dataDir })).toThrow("no inode left");
    });
  });

  test("is not caused by the spool: at its floor it takes no more, and has room again once the sinks have settled", () => {
    onSmallDisk((dataDir) => {
      const clock = simulatedClock();
      const spool = kit.spool({ dataDir, clock, freeBytesMin: 32_000_000 });
      spool.keepFor(["postgres"]);
      spool.setCursor("postgres", settledTo(0));
      expect(fill(() => spool.append(bulky(), emptyRecord))).toBeInstanceOf(SpoolFull);
      const full = spool.head;
      spool.setCursor("postgres", settledTo(full));
      clock.advance(3_000);
      expect(spool.first).toBe(full);
      for (let i = 1; i <= 800; i++) {
        spool.append(bulky(), emptyRecord);
        spool.setCursor("postgres", settledTo(spool.head));
        clock.advance(300);
      }
      expect(spool.head).toBe(full + 800);
      kit.close(spool);
    }, 64);
  });

  test("that others fill to the last byte leaves the spool its own pages, to be reused again and again", () => {
    onSmallDisk((dataDir) => {
      const clock = simulatedClock();
      const passing = (spool: Spool, groups: number) => {
        for (let i = 0; i < groups; i++) {
          spool.append(bulky(), emptyRecord);
          spool.setCursor("postgres", settledTo(spool.head));
          clock.advance(1_000);
        }
      };
      const first = kit.spool({ dataDir });
      for (let i = 0; i < 60; i++) first.append(bulky(), emptyRecord);
      kit.close(first);
      const spool = kit.spool({ dataDir, clock });
      spool.keepFor(["postgres"]);
      spool.setCursor("postgres", settledTo(60));
      clock.advance(1_000);
      passing(spool, 20);
      fill(() => writeFileSync(join(dataDir, `ballast${Math.random()}`), Buffer.alloc(4_096)));
      passing(spool, 100);
      expect(spool.head).toBe(180);
      kit.close(spool);
    });
  });

  test("is no trouble for the timers: neither the idle flush nor closing throws", () => {
    onSmallDisk((dataDir) => {
      const clock = simulatedClock();
      const spool = kit.spool({ dataDir, clock });
      spool.keepFor(["postgres"]);
      fill(() => spool.append(bulky(), emptyRecord));
      fill(() => writeFileSync(join(dataDir, `ballast${Math.random()}`), Buffer.alloc(1_000)));
      for (let seq = 0; seq < 20; seq++) {
        spool.setCursor("postgres", settledTo(seq));
        clock.advance(1_000);
      }
      spool.append([], emptyRecord);
      kit.close(spool);
    });
  });

  test("at a start after a crash costs no later start its write-ahead log", () => {
    onSmallDisk((dir) => {
      const [running, dataDir, others] = [join(dir, "running"), join(dir, "data"), join(dir, "others")];
      mkdirSync(running);
      const first = kit.spool({ dataDir: running });
      first.append(bulky(), emptyRecord);
      kit.close(first);
      const second = kit.spool({ dataDir: running });
      second.append([anEntry()], emptyRecord);
      cpSync(running, dataDir, { recursive: true });
      kit.close(second);
      expect(() => writeFileSync(others, Buffer.alloc(9_000_000))).toThrow("ENOSPC");
      for (let n = 0; n < 2; n++)
        expect(() => kit.spool({ dataDir })).toThrow(`the disk of ${dataDir} is full`);
      rmSync(others);
      expect(readAll(kit.spool({ dataDir }))).toHaveLength(2);
    });
  });

  test("is reported when the spool is opened", () => {
    onSmallDisk((dataDir) => {
      fill(() => writeFileSync(join(dataDir, `ballast${Math.random()}`), Buffer.alloc(100_000)));
      fill(() => writeFileSync(join(dataDir, `small${Math.random()}`), Buffer.alloc(100)));
      expect(() => kit.spool({ dataDir })).toThrow(/room|full/);
    });
  });
});
