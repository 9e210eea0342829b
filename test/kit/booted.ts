/**
 * A Debian 12 with a booted systemd, in a tree of its own (systemd-nspawn): paths, users, processes and the network are
 * its own, the kernel is this host's. The tree is made once by debootstrap (.ci/run) and never written to: each boot
 * lays an empty directory over it.
 *
 * Rejected alternative: a container engine, which would want a daemon and images from elsewhere.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

const tree = process.env["SLUICE_TEST_TREE"] ?? join(homedir(), ".cache/sluice/bookworm");

export interface Booted {
  /** Its root directory, as seen from this host. */
  readonly root: string;
  /** Runs a shell script in it. */
  run(script: string): { code: number; out: string; err: string };
  /** The same, without waiting. */
  start(script: string): Bun.Subprocess<"ignore", "pipe", "pipe">;
  end(): Promise<void>;
}

/** The kernel, or what this process may do, does not allow it; run.ts lists such a skip and lets it pass. */
export const forbidden = "forbidden by the kernel";

/** @returns the words of a skip if it cannot be */
export async function boot(): Promise<Booted | string> {
  if (process.getuid?.() !== 0) return "skipped: only root may boot a systemd";
  for (const program of ["systemd-nspawn", "nsenter"])
    if (Bun.which(program) === null) return `skipped: no ${program} (apt-get install systemd-container)`;
  const directory = mkdtempSync(join(tmpdir(), "sluice-booted-"));
  const at = (name: string) => join(directory, name);
  for (const name of ["root", "upper", "work", "empty"]) mkdirSync(at(name));
  // Whether it may be done at all is asked first: where it may not, the tree could not be made either.
  const lower = existsSync(tree) ? tree : at("empty");
  const options = `lowerdir=${lower},upperdir=${at("upper")},workdir=${at("work")}`;
  const mount = Bun.spawnSync(["mount", "-t", "overlay", "overlay", "-o", options, at("root")]);
  if (mount.success && lower === tree) return booted(directory, at("root"));
  if (mount.success) Bun.spawnSync(["umount", at("root")]);
  rmSync(directory, { recursive: true });
  return mount.success
    ? `skipped: no tree at ${tree} (.ci/run makes it)`
    : `${forbidden}: ${mount.stderr.toString().split("\n")[0]}`;
}

/** Its processes get a control group of their own, if that may be made: another boot would take the same name. */
const groups = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
  .filter((at) => existsSync(`${at}/cgroup.procs`))
  .map((at) => `${at}/sluice-test-${process.pid}`);
const intoGroups = groups.map((at) => `mkdir ${at} 2>/dev/null && echo $$ >${at}/cgroup.procs`).join("; ");
const nspawn = "systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe --boot";

async function booted(directory: string, root: string): Promise<Booted | string> {
  const log = join(directory, "console");
  const outer = Bun.spawn(
    ["sh", "-c", `{ ${intoGroups}; } 2>/dev/null; exec ${nspawn} -D ${root} >${log} 2>&1`],
    { stdio: ["ignore", "ignore", "ignore"] },
  );
  /** Its process 1, as this host counts; "" until there is one. */
  const first = () => firstChild(outer.pid);
  const words = (script: string) => ["nsenter", "--target", first(), "--all", "sh", "-c", script];
  const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" };
  const run = (script: string) => {
    const { exitCode: code, stdout, stderr } = Bun.spawnSync(words(script), { env, stdin: "ignore" });
    return { code, out: stdout.toString(), err: stderr.toString() };
  };
  async function end(): Promise<void> {
    if (first() !== "") process.kill(Number(first()), "SIGKILL");
    await outer.exited;
    Bun.spawnSync(["umount", root]);
    rmSync(directory, { recursive: true });
    // Only empty directories can be removed there, the innermost first.
    for (const group of groups)
      Bun.spawnSync(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
  }
  const isUp = () => /running|degraded/.test(run("systemctl is-system-running").out);
  try {
    await until(() => outer.exitCode !== null || isUp(), 30_000);
    if (outer.exitCode === null)
      return {
        root,
        run,
        end,
        start: (script) => Bun.spawn(words(script), { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" }),
      };
  } catch {
    // It hangs; what it said is the reason.
  }
  const said = (await Bun.file(log).text()).trim().split("\n").at(-1);
  await end();
  return `${forbidden}: ${said ?? "it did not boot"}`;
}

function firstChild(pid: number): string {
  const path = `/proc/${pid}/task/${pid}/children`;
  return existsSync(path) ? (readFileSync(path, "utf8").split(" ")[0] ?? "") : "";
}
