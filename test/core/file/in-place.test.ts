/** A database on a btrfs that is full, in a process of its own, which SIGBUS would end. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { forbidden } from "../../kit/booted.ts";

const run = (...words: readonly string[]) => Bun.spawnSync([...words], { stderr: "pipe" });

const dir = mkdtempSync(join(tmpdir(), "sluice-btrfs-"));
const [image, disk] = [join(dir, "image"), join(dir, "disk")];
const unmount = () => run("umount", "-l", disk);

/** @returns why there is no btrfs here; "" if it is mounted */
function mount(): string {
  mkdirSync(disk);
  writeFileSync(image, "");
  truncateSync(image, 110 * 1024 * 1024);
  if (Bun.which("mkfs.btrfs") === null) return "needs btrfs-progs";
  run("mkfs.btrfs", "-q", image);
  return run("mount", "-o", "loop", image, disk).success ? "" : forbidden;
}

const why = mount();
if (why !== "") rmSync(dir, { recursive: true });

/** Commits until none is possible, and again and again once all that was changed in memory has been written; then makes room. */
const script = `
  import { openSqlite } from ${JSON.stringify(import.meta.resolve("../../../src/core/file/sqlite.ts"))};
  import { appendFileSync, rmSync } from "node:fs";
  const dir = process.argv.at(-1);
  const db = openSqlite(dir + "/a.db");
  db.run("CREATE TABLE t (x)");
  const insert = db.query("INSERT INTO t VALUES (?)");
  const refused = (work) => { try { work(); return 0; } catch { return 1; } };
  const commit = () => refused(() => insert.run(Buffer.alloc(5_000)));
  commit();
  for (const bytes of [1 << 20, 1 << 12]) while (!refused(() => appendFileSync(dir + "/ballast", Buffer.alloc(bytes, 1))));
  let full = 0;
  for (let i = 0; i < 10; i++) {
    full += commit();
    Bun.spawnSync(["sync", "-f", dir]);
  }
  rmSync(dir + "/ballast");
  console.log(JSON.stringify({ full: full > 0, after: commit() }));
`;

test.skipIf(why !== "")(`a full btrfs refuses a commit and does not end the process ${why}`, () => {
  try {
    const { stdout, signalCode } = run(process.execPath, "-e", script, disk);
    expect([signalCode, stdout.toString()]).toEqual([undefined, '{"full":true,"after":0}\n']);
  } finally {
    unmount();
    rmSync(dir, { recursive: true });
  }
});
