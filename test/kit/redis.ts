/** Real Redis servers: free ports, no file, ended by process id. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";
import { freePort } from "./port.ts";

export interface RedisServer {
  readonly port: number;
  readonly pid: number;
  readonly url: string;
  /** On a connection of the test's own. */
  send(command: string, ...args: string[]): Promise<unknown>;
  kill9(): Promise<void>;
  /** Starts again on the same port, empty. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const binary = Bun.which("redis-server");

/** "" if it can be started, else why not. */
export function redisAvailable(): string {
  return binary === null ? "redis-server is not installed (apt-get install redis-server)" : "";
}

/** `lines`: further arguments, such as --maxmemory 3mb. */
export async function startRedis(lines: readonly string[] = [], login = ""): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-redis-"));
  const port = await freePort();
  const url = `redis://${login}127.0.0.1:${port}`;
  let running: ReturnType<typeof run>;
  let client: Bun.RedisClient | undefined;

  function run() {
    const basic = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const argv = [binary ?? "", ...basic, "--dir", dir, ...lines];
    return Bun.spawn(argv, { stdout: "ignore", stderr: "ignore" });
  }

  async function start() {
    running = run();
    await until(() => send("PING"));
  }

  async function send(command: string, ...args: string[]): Promise<unknown> {
    if (client?.connected !== true) {
      client?.close();
      client = new Bun.RedisClient(url, { autoReconnect: false, connectionTimeout: 10_000 });
      await client.connect();
    }
    return client.send(command, args);
  }

  async function kill9() {
    client?.close();
    running.kill("SIGKILL");
    await running.exited;
  }

  await start();
  return {
    port,
    url,
    get pid() {
      return running.pid;
    },
    send,
    start,
    kill9,
    async stop() {
      await kill9();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface Sentinel {
  readonly port: number;
  /** It knows a replica that it could promote. */
  canPromote(): Promise<boolean>;
  stop(): Promise<void>;
}

/** A sentinel that watches the server at `port` as `mymaster`. `lines`: further ones of its configuration; `tls`: it speaks nothing else. */
export async function startSentinel(
  master: number,
  { lines = [], tls = false }: { lines?: readonly string[]; tls?: boolean } = {},
): Promise<Sentinel> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-sentinel-"));
  const port = await freePort();
  const file = join(dir, "sentinel.conf");
  writeFileSync(
    file,
    [
      ...(tls ? ["port 0", `tls-port ${port}`] : [`port ${port}`]),
      "bind 127.0.0.1",
      `dir ${dir}`,
      ...lines,
      `sentinel monitor mymaster 127.0.0.1 ${master} 1`,
      "sentinel down-after-milliseconds mymaster 1000",
      "sentinel failover-timeout mymaster 5000",
      "",
    ].join("\n"),
  );
  const running = Bun.spawn([binary ?? "", file, "--sentinel"], { stdout: "ignore", stderr: "ignore" });
  return {
    port,
    async canPromote() {
      const client = new Bun.RedisClient(`redis://127.0.0.1:${port}`, { autoReconnect: false });
      try {
        const said = JSON.stringify(await client.send("SENTINEL", ["REPLICAS", "mymaster"]));
        return said.includes(`"master-link-status":"ok"`) || said.includes(`"master-link-status","ok"`);
      } finally {
        client.close();
      }
    },
    async stop() {
      running.kill("SIGKILL");
      await running.exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
