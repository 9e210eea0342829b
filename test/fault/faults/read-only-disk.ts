/** A disk that turns read-only while the gateway runs, as ext4 does at an error: in a file of its own, with the error that the kernel makes on demand. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

const image = join(tmpdir(), `sluice-fault-ext4-${process.pid}`);
const path = `${image}.mount`;

function run(command: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, words, { encoding: "utf8" });
  // e2fsck says by 1 that it has mended something.
  if (status !== 0 && command !== "e2fsck") throw new Error(`${command} ${words.join(" ")}: ${stderr}`);
  return stdout.trim();
}

const mount = () => run("mount", "-o", "loop,errors=remount-ro", image, path);
const trigger = () => `/sys/fs/ext4/${basename(run("findmnt", "-n", "-o", "SOURCE", path))}/trigger_fs_error`;

/** @returns why there can be no such disk here, "" if there can */
function prepare(): string {
  try {
    mkdirSync(path, { recursive: true });
    run("dd", "if=/dev/zero", `of=${image}`, "bs=1M", "count=128");
    run("mkfs.ext4", "-q", "-F", image);
    mount();
    return existsSync(trigger()) ? "" : "the kernel makes no error of ext4 on demand";
  } catch (error) {
    return String(error);
  }
}

function done(): void {
  spawnSync("umount", ["-l", path]);
  for (const each of [path, image]) rmSync(each, { recursive: true, force: true });
}

/** As somebody does who mends the disk: the gateway stops, in order. */
async function mend(site: Site): Promise<void> {
  const ended = await site.gateway.stop();
  if (ended !== 0) throw new Error(`the gateway ended with ${ended}`);
  run("umount", path);
  run("e2fsck", "-fy", image);
  mount();
}

export const readOnlyDiskFaults: readonly Fault[] = [
  {
    name: "disk-turns-read-only",
    says: "The spool's file system turns read-only at an error: held, HTTP answers, it stops in order; after `fsck` it goes on",
    site: { dataDir: join(path, "data"), rate: 500, env: { SPOOL_MIN_FREE_BYTES: "0" } },
    few: 0,
    many: 5,
    prepare,
    done,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(1_000);
        writeFileSync(trigger(), "a fault of the test");
        await until(
          async () => (await site.gateway.stats()).ingest["held_reason"] === "cannot_write",
          60_000,
        );
        await mend(site);
        await site.start();
        const { received } = (await site.gateway.stats()).ingest;
        await until(async () => (await site.gateway.stats()).ingest.received > received + 500, 60_000);
      }
      return times;
    },
  },
];
