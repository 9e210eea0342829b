/** PostgreSQL's processes, to be killed, stopped and turned into a standby. All of them are children of the test's own server. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PostgresServer } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";
import type { Site } from "./site.ts";

/** kill -9 of the postmaster; its children end by themselves once they notice, and only then can it be started again. */
export async function crash(server: PostgresServer): Promise<void> {
  const children = childrenOf(server.pid());
  await server.kill9();
  await until(() => !children.some(isAlive));
}

/** The backends that serve the gateways. */
export function backends(site: Site): Promise<number[]> {
  return site.sql(async (sql) => {
    const rows = await sql<{ pid: number }[]>`select pid from pg_stat_activity
      where datname = current_database() and application_name = 'sluice'`;
    return rows.map(({ pid }) => pid);
  });
}

/** Terminates every backend that serves a gateway, so that the gateway has to reconnect. */
export async function disconnect(site: Site): Promise<void> {
  await site.sql(
    (sql) => sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'sluice'`,
  );
}

/** Restarts the server as a standby, which takes no writes whatever a client asks for. */
export async function becomeStandby(site: Site): Promise<void> {
  const directory = await site.sql((sql) => sql<{ data_directory: string }[]>`show data_directory`);
  writeFileSync(join(directory[0]?.data_directory ?? "", "standby.signal"), "");
  await site.server.restart();
}

export async function promote(site: Site): Promise<void> {
  await site.sql((sql) => sql`select pg_promote(true, 30)`);
}

/** Sends a signal to those that are still there. */
export function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // gone meanwhile
    }
  }
}

function childrenOf(parent: number): number[] {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => statusOf(pid).parent === parent);
}

function isAlive(pid: number): boolean {
  const { state } = statusOf(pid);
  return state !== "" && state !== "Z";
}

/** proc(5): pid (name) state ppid … */
function statusOf(pid: number): { state: string; parent: number } {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return { state: fields[0] ?? "", parent: Number(fields[1]) };
  } catch {
    return { state: "", parent: 0 };
  }
}
