/** A real PgBouncer in front of a PostgreSQL, in the requested pooling mode. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { freePort } from "./port.ts";

export interface PgBouncer {
  readonly port: number;
  /** That database through it. */
  url(through: string): string;
  stop(): Promise<void>;
}

const candidates = [Bun.which("pgbouncer"), "/usr/sbin/pgbouncer"];
const executable = candidates.find((path) => path !== null && existsSync(path));

/** Why there can be none here; "" if there can. */
export const pgBouncerAvailable = executable ? "" : "no pgbouncer";

/** @param user that PostgreSQL trusts */
export async function startPgBouncer(
  server: { readonly port: number },
  mode: "transaction" | "session" | "statement",
  user = "postgres",
): Promise<PgBouncer> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-pgbouncer-"));
  const port = await freePort();
  const lines = [
    "[databases]",
    `* = host=127.0.0.1 port=${server.port}`,
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    "auth_type = any",
    `pool_mode = ${mode}`,
    "max_client_conn = 100",
    "default_pool_size = 20",
    `logfile = ${join(dir, "log")}`,
  ];
  // Whatever user is requested, the server sees this one.
  lines[1] += ` user=${user}`;
  writeFileSync(join(dir, "pgbouncer.ini"), `${lines.join("\n")}\n`);
  // It refuses root.
  const isRoot = process.getuid?.() === 0;
  chmodSync(dir, 0o777);
  const child = spawn(executable ?? "", ["-q", join(dir, "pgbouncer.ini")], {
    stdio: "ignore",
    ...(isRoot && { uid: 65_534, gid: 65_534 }),
  });
  const url = (through: string) => {
    const { pathname, username } = new URL(through);
    return `postgres://${username}@127.0.0.1:${port}${pathname}`;
  };
  await untilReady(`postgres://${user}@127.0.0.1:${port}/postgres`);
  return {
    port,
    url,
    async stop() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function untilReady(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const sql = postgres(url, { max: 1, fetch_types: false, prepare: false, connect_timeout: 2 });
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      if (tries > 100) throw error;
      await Bun.sleep(50);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
}
