/**
 * A memory limit for one process: a cgroup (v2, else v1) if one can be made, which takes root; else its resident
 * memory is watched, and the process is killed above the limit. The row says which of them it was. Rejected
 * alternatives: `ulimit -v`, because it bounds addresses, of which the engine reserves gigabytes that it never uses;
 * `systemd-run --scope`, because it makes the same cgroup and needs systemd besides.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface MemoryLimit {
  /** How it is kept, for the row. */
  readonly how: string;
  /** The words to put before the command. */
  readonly within: readonly string[];
  watch(pid: number): void;
  close(): void;
}

const watchEveryMs = 20;

export function memoryLimit(bytesMax: number): MemoryLimit {
  const mib = `${bytesMax / 1024 / 1024} MB`;
  const group = makeGroup(bytesMax);
  if (group !== undefined) {
    return {
      how: `a cgroup of ${mib}`,
      // The shell becomes the command, so the process identifier is the command's.
      within: ["sh", "-c", 'echo $$ > "$0" && exec "$@"', join(group, "cgroup.procs")],
      watch() {},
      close: () => removeGroup(group),
    };
  }
  const timers: Timer[] = [];
  return {
    how: `resident memory watched, ${mib}`,
    within: [],
    watch(pid) {
      timers.push(
        setInterval(() => residentBytes(pid) > bytesMax && process.kill(pid, "SIGKILL"), watchEveryMs),
      );
    },
    close: () => timers.splice(0).forEach(clearInterval),
  };
}

type Timer = ReturnType<typeof setInterval>;

let made = 0;

/** undefined if none can be made. */
function makeGroup(bytesMax: number): string | undefined {
  const name = `sluice-attack-${process.pid}-${made++}`;
  for (const [root, files] of [
    ["/sys/fs/cgroup", { "memory.max": bytesMax, "memory.swap.max": 0 }],
    ["/sys/fs/cgroup/memory", { "memory.limit_in_bytes": bytesMax }],
  ] as const) {
    const group = join(root, name);
    try {
      mkdirSync(group);
      for (const [file, value] of Object.entries(files)) {
        if (file !== "memory.swap.max" || existsSync(join(group, file)))
          writeFileSync(join(group, file), String(value), { flag: "r+" });
      }
      return group;
    } catch {
      removeGroup(group);
    }
  }
  return undefined;
}

function removeGroup(group: string): void {
  try {
    rmdirSync(group);
  } catch {
    // It was never made, or a process is still in it: it disappears with the machine.
  }
}

/** 0 if the process is gone. */
function residentBytes(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
