/** A gateway as an operator runs it: the compiled executable, a data directory, an environment. */
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Stats } from "../../src/admin/measurements.ts";

export interface GatewayProcess {
  readonly pid: number;
  readonly dataDir: string;
  readonly url: string;
  stats(): Promise<Stats>;
  /** SIGTERM; the exit code. */
  stop(): Promise<number>;
  kill9(): Promise<void>;
  /** null while it runs. */
  exitCode(): number | null;
  /** CPU used so far, in µs. */
  cpuMicros(): number;
  /** Most memory used so far, in bytes. */
  peakBytes(): number;
  /** What it logged. */
  log(): string;
}

/** The executable; another one than dist/sluice can be named, so that a build does not disturb a long run. */
export const executable = process.env["SLUICE_EXECUTABLE"] ?? join(import.meta.dir, "../../dist/sluice");

/** The end of a process: its exit code and everything it printed. */
export async function endOf(child: Bun.ReadableSubprocess) {
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

/** Runs a command until it ends. */
export function sluice(env: Record<string, string>, ...words: string[]) {
  const child = Bun.spawn([executable, ...words], {
    env: { PATH: process.env["PATH"], ...env },
    cwd: tmpdir(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  return endOf(child);
}

/**
 * Starts it and waits until it answers. `HTTP_LISTEN` is on a free port. Its log goes beside the data directory, not
 * into it: the disk under that may be full. @throws with its log if it ends instead
 */
export async function startGateway(
  env: Record<string, string>,
  dataDir = join(mkdtempSync(join(tmpdir(), "sluice-gateway-")), "data"),
  how: {
    /** Where its output goes, and the file in which that arrives: another one if a reader stands between. */
    readonly output?: string;
    readonly log?: string;
    /** Words before the command, for a program that replaces itself by it: its process identifier stays. */
    readonly within?: readonly string[];
    /** In place of the executable. */
    readonly command?: readonly string[];
  } = {},
): Promise<GatewayProcess> {
  const command = how.command ?? [executable];
  if (!existsSync(command[0] ?? "")) throw new Error(`${command[0]} is missing: bun run build`);
  mkdirSync(dataDir, { recursive: true });
  const logFile = how.log ?? `${dataDir}-${process.hrtime.bigint()}.log`;
  const output = openSync(how.output ?? logFile, "a");
  const child = Bun.spawn([...(how.within ?? []), ...command, "run"], {
    env: {
      PATH: process.env["PATH"],
      HTTP_LISTEN: "127.0.0.1:0",
      DATA_DIR: dataDir,
      GATEWAY_ID: "test-gateway",
      ...env,
    },
    cwd: tmpdir(),
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  const log = () => (existsSync(logFile) ? readFileSync(logFile, "utf8") : "");
  const url = await addressIn(log, () => child.exitCode ?? child.signalCode).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  return {
    pid: child.pid,
    dataDir,
    url,
    log,
    exitCode: () => child.exitCode ?? (child.signalCode === null ? null : 128),
    stats: async () => (await (await fetch(`${url}/stats`)).json()) as Stats,
    async stop() {
      child.kill("SIGTERM");
      return child.exited;
    },
    async kill9() {
      child.kill("SIGKILL");
      await child.exited;
    },
    cpuMicros() {
      const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return (Number(fields[11]) + Number(fields[12])) * 10_000;
    },
    peakBytes: () =>
      Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) * 1024,
  };
}

async function addressIn(log: () => string, ended: () => number | string | null): Promise<string> {
  for (let tries = 0; tries < 1200; tries++) {
    const address = /"http":"([^"]+)"/.exec(log())?.[1];
    if (address) return `http://${address}`;
    if (ended() !== null) throw new Error(`the gateway ended (${ended()}):\n${log()}`);
    await Bun.sleep(25);
  }
  throw new Error(`the gateway did not start:\n${log()}`);
}

/**
 * Reads the stats until `holds` is true. @returns the last stats
 * @throws with them if it takes longer than `deadlineMs`
 */
export async function statsWhen(
  gateway: Pick<GatewayProcess, "stats" | "log">,
  holds: (stats: Stats) => boolean,
  deadlineMs = 60_000,
): Promise<Stats> {
  const until = performance.now() + deadlineMs;
  for (;;) {
    const stats = await gateway.stats();
    if (holds(stats)) return stats;
    if (performance.now() > until)
      throw new Error(`not reached: ${JSON.stringify(stats)}\n${gateway.log().slice(-4000)}`);
    await Bun.sleep(50);
  }
}
