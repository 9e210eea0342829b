/** What the system says of a process: CPU and memory. PostgreSQL is a tree of them, whose ended members its root has inherited. */
import { readFileSync } from "node:fs";

const tickMicros = 10_000;

/** CPU of the process and of the children it has waited for, in µs: to 10 ms. */
function ownMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * tickMicros;
}

/** CPU of the process and of all under it, in µs. */
export function cpuMicros(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  const below = children.map(Number).reduce((sum, child) => sum + microsUnlessEnded(child), 0);
  return below + ownMicros(pid);
}

/** Of one that ends meanwhile its parent tells, which is read last. */
function microsUnlessEnded(pid: number): number {
  try {
    return ownMicros(pid);
  } catch {
    return 0;
  }
}

export const residentBytes = (pid: number): number => memoryOf(pid, "VmRSS");
export const peakBytes = (pid: number): number => memoryOf(pid, "VmHWM");

function memoryOf(pid: number, name: string): number {
  const line = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Ends a process that nothing waits for, or that is stopped, when this one ends, however it does: it would disturb the next run. */
export function endsWithUs(pid: number): void {
  if (started.length === 0) {
    process.on("exit", () => started.forEach(end));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
  }
  started.push(pid);
}

const started: number[] = [];

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
