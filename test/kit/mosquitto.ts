/** A private Mosquitto: a free port, its own configuration and store in a temporary directory, ended by process id. */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./port.ts";

export interface Mosquitto {
  readonly port: number;
  readonly dir: string;
  pid(): number;
  /** Ends it as an operator would: it writes its store first. */
  stop(): Promise<void>;
  /** Ends it without warning. */
  kill9(): Promise<void>;
  /** Starts it again on the same port. `forget`: without the sessions it had stored. */
  restart(options?: { forget?: boolean }): Promise<void>;
  /** Stops it and removes its directory. */
  dispose(): Promise<void>;
}

export interface MosquittoOptions {
  /** Lines of mosquitto.conf for the listener, such as `cafile …`, after `listener`. */
  readonly listener?: readonly string[];
  /** Lines for the whole broker. */
  readonly lines?: readonly string[];
  readonly anonymous?: boolean;
  /** name → password. */
  readonly users?: Readonly<Record<string, string>>;
}

const BINARY = Bun.which("mosquitto") ?? "/usr/sbin/mosquitto";

export const mosquittoAvailable = (): boolean => existsSync(BINARY);

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-mosquitto-"));
  chmodSync(dir, 0o755);
  const port = await freePort();
  const config = join(dir, "mosquitto.conf");
  writeFileSync(config, configLines(dir, port, await freePort(), options).join("\n"));
  let running = await launch(config, port);

  const end = async (signal: "SIGTERM" | "SIGKILL") => {
    running.kill(signal);
    await running.exited;
  };
  return {
    port,
    dir,
    pid: () => running.pid,
    stop: () => end("SIGTERM"),
    kill9: () => end("SIGKILL"),
    async restart({ forget = false } = {}) {
      await end("SIGTERM");
      if (forget) rmSync(join(dir, "mosquitto.db"), { force: true });
      running = await launch(config, port);
    },
    async dispose() {
      await end("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function configLines(dir: string, port: number, spare: number, options: MosquittoOptions): string[] {
  const { listener = [], lines = [], anonymous = options.users === undefined, users } = options;
  const passwords: string[] = [];
  if (users !== undefined) {
    const file = join(dir, "passwords");
    writeFileSync(
      file,
      Object.entries(users)
        .map(([name, password]) => `${name}:${password}\n`)
        .join(""),
    );
    Bun.spawnSync(["mosquitto_passwd", "-U", file]);
    passwords.push(`password_file ${file}`);
  }
  return [
    // As root it would switch to a user that may not read our directory.
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    "persistence true",
    `persistence_location ${dir}/`,
    `allow_anonymous ${anonymous}`,
    ...passwords,
    ...lines,
    // Mosquitto 2.0.11 does not start when its only listener is one for web sockets.
    ...(listener.includes("protocol websockets") ? [`listener ${spare} 127.0.0.1`] : []),
    `listener ${port} 127.0.0.1`,
    ...listener,
    "",
  ];
}

async function launch(config: string, port: number) {
  const child = Bun.spawn([BINARY, "-c", config], { stdout: "ignore", stderr: "ignore" });
  for (let tries = 0; tries < 500; tries += 1) {
    if (child.exitCode !== null)
      throw new Error(`mosquitto ended at once with ${child.exitCode}: see ${config}`);
    if (await accepts(port)) return child;
    await Bun.sleep(20);
  }
  throw new Error(`mosquitto does not listen on ${port}`);
}

async function accepts(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
