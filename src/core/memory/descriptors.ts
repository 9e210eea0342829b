/**
 * How much this process may open, and whether it can open anything more. Bun tells of a connection for which there was no descriptor that the other side refused
 * it (ECONNREFUSED), and sends its operator to a server that is well.
 */
import { closeSync, openSync, readFileSync } from "node:fs";

/** What stands in the way of every file and connection, and the remedy; undefined: nothing does. */
export function descriptorsTrouble(): string | undefined {
  try {
    closeSync(openSync("/dev/null", "r"));
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EMFILE")
      return "this process has no file descriptor left (EMFILE): raise LimitNOFILE of its unit, or ulimit -n";
    if (code === "ENFILE") return "this host has no file descriptor left (ENFILE): raise fs.file-max";
    return undefined;
  }
}

/** The soft limit, which is what counts (getrlimit(2), RLIMIT_NOFILE); undefined if the system does not say, or there is none. */
export function descriptorsMax(): number | undefined {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** Descriptors that are not for connections that come in: those to PostgreSQL and others, files, the administration. */
const descriptorsKept = 128;

/** How many connections may come in: as many as were asked for, within that part of what the process may open. */
export function connectionsWithin(asked: number, part: number): number {
  const room = (descriptorsMax() ?? Number.POSITIVE_INFINITY) - descriptorsKept;
  return Math.max(1, Math.min(asked, Math.floor(room * part)));
}
