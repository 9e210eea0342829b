/** A part of a core for a subject, as on a small or a busy machine: a cgroup with a quota (version 1 or 2, as root). */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subject } from "./subject.ts";

const root = "/sys/fs/cgroup";
const periodMicros = 100_000;

/** The same subject, which gets that many cores once it has started. */
export function limited(subject: Subject, cores: number): Subject {
  return {
    ...subject,
    async start(site) {
      const running = await subject.start(site);
      const dir = cgroupOf(cores, running.pids);
      return { ...running, stop: async () => (await running.stop(), rmdirSync(dir)) };
    },
  };
}

function cgroupOf(cores: number, pids: readonly number[]): string {
  const isFirst = existsSync(join(root, "cpu"));
  const dir = join(root, isFirst ? "cpu" : "", `sluice-bench-${pids[0]}`);
  const quota = String(Math.round(cores * periodMicros));
  mkdirSync(dir);
  if (isFirst) writeFileSync(join(dir, "cpu.cfs_quota_us"), quota);
  else writeFileSync(join(dir, "cpu.max"), `${quota} ${periodMicros}`);
  for (const pid of pids) writeFileSync(join(dir, "cgroup.procs"), String(pid));
  return dir;
}
