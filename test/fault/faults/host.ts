/** The host of the gateway: a disk with errors, a log that nobody reads. */
import { spawnSync } from "node:child_process";
import { closeSync, constants, existsSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGateway, type GatewayProcess } from "../../kit/gateway.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import type { Site } from "../site.ts";

/** libfiu stands between the process and libc, and makes calls fail on command. */
const preloads = ["fiu_run_preload.so", "fiu_posix_preload.so"].map((name) => `/usr/lib/fiu/${name}`);
const control = join(tmpdir(), `sluice-fault-io-${process.pid}`);
const preloaded = { LD_PRELOAD: preloads.join(" "), FIU_CTRL_FIFO: control };

const noFiu = () =>
  preloads.every((path) => existsSync(path)) ? "" : "libfiu is not installed (Debian: fiu-utils)";

/** EIO for these calls of the gateway, or no more. */
function failing(site: Site, calls: readonly string[], on: boolean): void {
  const words = calls.flatMap((name) => [
    "-c",
    on ? `enable name=${name},failinfo=5` : `disable name=${name}`,
  ]);
  const told = spawnSync("fiu-ctrl", ["-f", control, ...words, String(site.gateway.pid)], {
    encoding: "utf8",
  });
  if (told.status !== 0) throw new Error(`fiu-ctrl: ${told.stderr}`);
}

const writes = ["posix/io/rw/pwrite"];
const everything = [...writes, "posix/io/rw/pread", "posix/io/sync/fsync", "posix/io/sync/fdatasync"];

/** The intake is held, quoting the disk's error, and HTTP answers all the while. */
async function diskErrors(site: Site, times: number, calls: readonly string[]): Promise<number> {
  const held = async () => (await site.gateway.stats()).ingest["held"];
  for (let i = 0; i < times; i++) {
    failing(site, calls, true);
    // A read that fails in the middle of a page's chain may look like damage to SQLite while the errors last.
    await until(async () => /disk I\/O error|malformed/.test(String(await held())), 60_000);
    // Longer than the second after which the spool trims what is delivered.
    await Bun.sleep(1_500);
    await held();
    failing(site, calls, false);
    await until(async () => (await held()) === null, 60_000);
    await Bun.sleep(300);
  }
  return times;
}

/** A gateway whose log goes into a pipe, and what reads that. */
let reader: Bun.Subprocess | undefined;
const pipes = mkdtempSync(join(tmpdir(), "sluice-fault-log-"));
const pipe = join(pipes, "log");

async function startWithReader(env: Record<string, string>, dataDir: string): Promise<GatewayProcess> {
  if (!existsSync(pipe)) spawnSync("mkfifo", [pipe]);
  const file = `${dataDir}.log`;
  reader = Bun.spawn(["cat", pipe], { stdout: Bun.file(file) });
  return startGateway(env, dataDir, { output: pipe, log: file });
}

function fillPipe(): void {
  const fd = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(fd, Buffer.alloc(4096, "\n"));
  } catch {
    closeSync(fd);
  }
}

export const hostFaults: readonly Fault[] = [
  {
    name: "disk-write-errors",
    says: "Disk I/O errors (EIO) on every write of the spool: held, HTTP answers, then it goes on",
    site: { rate: 500, env: preloaded },
    few: 2,
    many: 10,
    prepare: noFiu,
    run: (site, times) => diskErrors(site, times, writes),
  },
  {
    name: "disk-errors-alone",
    says: "The same on reads, writes and fsync, without any server: embedded broker, local store",
    site: { embedded: true, local: true, rate: 500, protocolVersion: 4, env: preloaded },
    few: 2,
    many: 10,
    prepare: noFiu,
    run: (site, times) => diskErrors(site, times, everything),
  },
  {
    name: "log-reader-stopped",
    says: "Whatever reads the log stops, and its pipe is full: lines are lost, no time is",
    site: { rate: 500, env: { LOG_LEVEL: "debug", LOG_STATS_EVERY_SECONDS: "1" }, launch: startWithReader },
    few: 1,
    many: 10,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        reader?.kill("SIGSTOP");
        fillPipe();
        const { received } = (await site.gateway.stats()).ingest;
        await Bun.sleep(2_500);
        await until(async () => (await site.gateway.stats()).ingest.received > received + 500, 60_000);
        reader?.kill("SIGCONT");
        await Bun.sleep(200);
      }
      return times;
    },
    done() {
      reader?.kill("SIGKILL");
      rmSync(pipes, { recursive: true, force: true });
    },
  },
];
