/** The disk under the spool: full, torn, flipped, missing, an older copy, another one. */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

const disks = join(tmpdir(), `sluice-fault-disk-${process.pid}`);

/** A file system of a few MB, if this user may mount one. */
interface SmallDisk {
  readonly path: string;
  /** Mounts it. @returns why not, if that is not permitted */
  mount(): string;
  unmount(): void;
}

function smallDisk(name: string): SmallDisk {
  const path = join(disks, name);
  return {
    path,
    mount() {
      mkdirSync(path, { recursive: true });
      const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=128m", "tmpfs", path], {
        encoding: "utf8",
      });
      return status === 0 ? "" : `no small file system can be mounted here: ${stderr.trim()}`;
    },
    unmount() {
      spawnSync("umount", ["-l", path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

const filledDisk = smallDisk("filled");
const narrowDisk = smallDisk("narrow");

async function held(site: Site, wanted: boolean): Promise<void> {
  await until(async () => ((await site.gateway.stats()).ingest["held"] !== null) === wanted, 60_000);
}

/** PostgreSQL has caught up. */
async function drained(site: Site): Promise<void> {
  await until(async () => ((await site.gateway.stats()).sinks["postgres"]?.waiting ?? 0) < 1000, 60_000);
}

/** Fills the small disk, except for this many bytes. */
function fill({ path }: SmallDisk, leftBytes = 0): string {
  const ballast = join(path, "ballast");
  for (const bytes of [65_536, 4096, 1]) {
    try {
      while (freeBytes(path) - bytes >= leftBytes) appendFileSync(ballast, Buffer.alloc(bytes));
    } catch {
      // full, to this many bytes
    }
  }
  return ballast;
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

/** Publishes, and waits until the gateway has acknowledged all of it. */
async function publishTaken(site: Site, count: number): Promise<void> {
  const { received } = (await site.gateway.stats()).ingest;
  await site.publish({ count, rate: 3000 });
  await until(async () => {
    const { ingest, source } = await site.gateway.stats();
    return ingest.received >= received + count && (source as { unacknowledged: number }).unacknowledged === 0;
  }, 60_000);
}

/** A copy as a storage system takes it: of one moment, while the gateway runs. */
function snapshot(site: Site, number: number): string {
  const copy = `${site.dataDir}-copy-${number}`;
  process.kill(site.gateway.pid, "SIGSTOP");
  cpSync(site.dataDir, copy, { recursive: true });
  process.kill(site.gateway.pid, "SIGCONT");
  return copy;
}

/** What cannot be looked up while PostgreSQL is away is spooled unjudged, and soon. */
const backlogSite = { rate: 0, env: { REGISTRY_WAIT_MS: "500" } };

/** Makes a backlog on disk of which PostgreSQL has nothing, and stops the gateway. */
async function backlog(site: Site, end: "stop" | "kill9"): Promise<void> {
  site.databaseLine.mode("refuse");
  await publishTaken(site, 1500);
  await site.gateway[end]();
  site.databaseLine.mode("pass");
}

/**
 * Starts the gateway on a damaged spool: it must end by itself with 1 and name the remedy. @returns what it logged
 */
async function endsWithClearError(site: Site): Promise<string> {
  try {
    const gateway = await site.start();
    await until(() => gateway.exitCode() !== null, 60_000);
    return `the gateway ended (${gateway.exitCode()}):\n${gateway.log()}`;
  } catch (error) {
    return String(error);
  }
}

/** Damage, a clear error at the start, and what an operator would do: restore the sound copy. */
async function refusesDamage(
  site: Site,
  damage: (spool: string) => void,
  end: "stop" | "kill9" = "stop",
): Promise<number> {
  await backlog(site, end);
  const copy = `${site.dataDir}-copy`;
  cpSync(site.dataDir, copy, { recursive: true });
  damage(join(site.dataDir, "spool.db"));
  const said = await endsWithClearError(site);
  if (!said.includes("(1)") || !said.includes("sluice spool repair"))
    throw new Error(`no clear error: ${said}`);
  rmSync(site.dataDir, { recursive: true });
  cpSync(copy, site.dataDir, { recursive: true });
  await site.start();
  return 1;
}

export const diskFaults: readonly Fault[] = [
  {
    name: "disk-full",
    says: "Disk full under the spool (by something else) while PostgreSQL is away, and room again",
    site: { dataDir: join(filledDisk.path, "site", "data"), rate: 1000, env: { SPOOL_MIN_FREE_BYTES: "0" } },
    few: 1,
    many: 5,
    prepare: filledDisk.mount,
    done: filledDisk.unmount,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        site.databaseLine.mode("refuse");
        const ballast = fill(filledDisk);
        await held(site, true);
        rmSync(ballast);
        await held(site, false);
        site.databaseLine.mode("pass");
        await drained(site);
      }
      return times;
    },
  },
  {
    name: "disk-full-of-spool",
    says: "Disk full of the spool itself while PostgreSQL is away: it goes on by itself when that is back",
    site: { dataDir: join(narrowDisk.path, "site", "data"), rate: 3000 },
    few: 1,
    many: 3,
    prepare: narrowDisk.mount,
    done: narrowDisk.unmount,
    async run(site, times) {
      // Room for 4 MB above the floor that it keeps by default.
      fill(narrowDisk, 67_108_864 + 4_194_304);
      for (let i = 0; i < times; i++) {
        site.databaseLine.mode("refuse");
        await held(site, true);
        site.databaseLine.mode("pass");
        await held(site, false);
        await drained(site);
      }
      return times;
    },
  },
  {
    name: "spool-full",
    says: "Spool at its byte bound while PostgreSQL is away: the intake is held, then goes on",
    site: { env: { SPOOL_MAX_BYTES: "65536" }, rate: 1000 },
    few: 1,
    many: 5,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        site.databaseLine.mode("refuse");
        await held(site, true);
        site.databaseLine.mode("pass");
        await held(site, false);
      }
      return times;
    },
  },
  {
    name: "torn-group",
    says: "Torn last group: half of a write in the log after `kill -9`",
    site: backlogSite,
    few: 1,
    many: 10,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await backlog(site, "kill9");
        const log = join(site.dataDir, "spool.db-wal");
        const frame = readFileSync(log).subarray(-4120);
        appendFileSync(log, frame.subarray(0, random.whole(1, frame.length - 1)));
        await site.start();
        await drained(site);
      }
      return times;
    },
  },
  {
    name: "flipped-bytes",
    says: "Flipped bytes in the spool: it does not start, names the remedy, and goes on from a sound copy",
    site: backlogSite,
    few: 1,
    many: 1,
    run: (site) =>
      refusesDamage(site, (spool) => {
        const bytes = readFileSync(spool);
        for (let at = 8192; at < statSync(spool).size; at += 8192)
          bytes[at + 3000] = ~(bytes[at + 3000] ?? 0);
        writeFileSync(spool, bytes);
      }),
  },
  {
    name: "missing-file",
    says: "The spool's file missing: it does not start, names the remedy, and goes on from a sound copy",
    site: backlogSite,
    few: 1,
    many: 1,
    run: (site) => refusesDamage(site, (spool) => rmSync(spool)),
  },
  {
    name: "missing-log",
    says: "The spool's write-ahead log missing after `kill -9`: the same",
    site: backlogSite,
    few: 1,
    many: 1,
    run: (site) => refusesDamage(site, (spool) => rmSync(`${spool}-wal`), "kill9"),
  },
  {
    name: "older-copy",
    says: "Spool restored from an older copy, taken while it ran and PostgreSQL was behind; what came since is stored",
    // The devices are known by then: messages unjudged when the copy is taken are judged by both gateways, and cannot be
    // told apart.
    site: { rate: 0, faults: { "bad-token": 0.02 } },
    few: 1,
    many: 10,
    partialBooks: true,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await publishTaken(site, 300);
        site.databaseLine.mode("refuse");
        await publishTaken(site, 300);
        const copy = snapshot(site, i);
        await publishTaken(site, 300);
        site.databaseLine.mode("pass");
        await until(async () => (await site.gateway.stats()).sinks["postgres"]?.waiting === 0, 60_000);
        await site.gateway.kill9();
        rmSync(site.dataDir, { recursive: true });
        cpSync(copy, site.dataDir, { recursive: true });
        await site.start();
      }
      return times;
    },
  },
  {
    name: "new-disk",
    says: "A new disk, so an empty spool, under the same gateway id",
    few: 2,
    many: 10,
    partialBooks: true,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        // Stopped in order: what waits for PostgreSQL on a disk that is removed is lost with it.
        await site.gateway.stop();
        if (!existsSync(site.dataDir)) throw new Error("there was no disk to take away");
        site.dataDir = site.newDataDir();
        await site.start();
        await Bun.sleep(300);
      }
      return times;
    },
  },
];
