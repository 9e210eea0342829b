/**
 * The steps by which `install`, `uninstall` and `upgrade` change the host. Each step is checked before it is done, so
 * that a second run changes nothing and --dry-run can say what a first one would do.
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type Context, UsageError } from "../command.ts";

export interface Step {
  /** What it does, in the imperative: "copy … to …". */
  readonly says: string;
  /** Is it done already? */
  isDone(): boolean;
  run(): void | Promise<void>;
}

/** The paths of the FHS for what an administrator installs by hand. */
export const paths = {
  binary: "/usr/local/bin/sluice",
  previous: "/usr/local/bin/sluice.previous",
  unit: "/etc/systemd/system/sluice.service",
  packagedUnit: "/usr/lib/systemd/system/sluice.service",
  settingsDir: "/etc/sluice",
  settings: "/etc/sluice/sluice.env",
  /** A file per secret: database-url for DATABASE_URL. */
  credentials: "/etc/sluice/credentials",
  man: "/usr/local/share/man/man8/sluice.8",
  state: "/var/lib/sluice",
  privateState: "/var/lib/private/sluice",
} as const;

/** @param root for tests: a directory that is used instead of / */
export function placeOf({ root = "/" }: Context, path: string): string {
  return join(root, path);
}

/** @throws UsageError unless root runs it, because nothing could be written */
export function wantsRoot({ uid, root }: Context, command: string): void {
  if (uid !== 0 && root === undefined)
    throw new UsageError(`\`sluice ${command}\` changes the host: run it as root (sudo), or with --dry-run`);
}

/**
 * A program and a unit beside those of a package would go before them: what the package brings later would never run.
 * @throws UsageError if a package has made the service; one that was installed by hand besides may still be removed
 */
export function wantsNoPackage(context: Context, command: string): void {
  if (!existsSync(placeOf(context, paths.packagedUnit)) || existsSync(placeOf(context, paths.unit))) return;
  throw new UsageError(
    `Sluice is a package on this host, so not \`sluice ${command}\` but its package manager changes it: \`apt install ./FILE.deb\` or \`dnf install ./FILE.rpm\`, and \`apt remove sluice\` or \`dnf remove sluice\``,
  );
}

/** Whether systemd runs this host (sd_booted(3)). */
export function hasSystemd(context: Context): boolean {
  return existsSync(placeOf(context, "/run/systemd/system"));
}

/** Does the steps that are not done yet, and prints each step. @returns whether there was anything to do */
export async function follow(context: Context, steps: readonly Step[], isDry: boolean): Promise<boolean> {
  let changes = 0;
  for (const step of steps) {
    const isDone = step.isDone();
    context.stdout(`${isDone ? "as it is " : isDry ? "would    " : "now      "} ${step.says}\n`);
    if (isDone) continue;
    changes++;
    if (isDry) continue;
    try {
      await step.run();
    } catch (cause) {
      throw new Error(`cannot ${step.says}`, { cause });
    }
  }
  return changes > 0;
}

export interface Systemctl {
  /** @throws with systemctl's own words */
  run(...words: readonly string[]): Promise<void>;
  /** Restarts the service and waits until it is ready. @throws with what the service itself said last */
  restart(): Promise<void>;
  /** True if systemctl answers yes. */
  is(...words: readonly string[]): boolean;
  /** A property of the service, as systemd has it; "" if it does not say. */
  property(name: string): string;
}

export function systemctlOf({ env }: Context): Systemctl {
  const PATH = env["PATH"] ?? "/usr/bin:/bin";
  const found = Bun.which("systemctl", { PATH });
  async function run(...words: readonly string[]): Promise<void> {
    if (found === null) throw new Error("systemctl was not found");
    const child = Bun.spawn([found, ...words], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const said = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new Error(`systemctl ${words.join(" ")}: ${said.trim()}`);
  }
  return {
    run,
    restart: () =>
      run("restart", "sluice").catch((cause: unknown) => {
        const said = lastWords(Bun.which("journalctl", { PATH }));
        throw said === "" ? cause : new Error(`it said: ${said}`);
      }),
    is: (...words) => found !== null && Bun.spawnSync([found, ...words]).success,
    property: (name) =>
      found === null
        ? ""
        : Bun.spawnSync([found, "show", "--value", "-p", name, "sluice"]).stdout.toString().trim(),
  };
}

/** Is the service active, by the program that is in place? After an interrupted upgrade it is still the one before. */
export function runsInstalled(context: Context): boolean {
  const systemctl = systemctlOf(context);
  if (!systemctl.is("is-active", "--quiet", "sluice")) return false;
  const running = inodeOf(`/proc/${systemctl.property("MainPID")}/exe`);
  return running === undefined || running === inodeOf(placeOf(context, paths.binary));
}

/** undefined if there is none, or only root may look. */
function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}

/** How many lines of a journal are read, to find the last that says what is wrong. */
const journalLinesMax = 20;

/** What the service said was wrong when it ended; "" if the journal does not know. */
function lastWords(journalctl: string | null): string {
  if (journalctl === null) return "";
  const words = ["-u", "sluice", "-t", "sluice", "-o", "cat", "--no-pager", "-S", "-1min"];
  const { stdout } = Bun.spawnSync([journalctl, ...words, "-n", String(journalLinesMax)]);
  const lines = stdout.toString().trim().split("\n");
  const fatal = lines.findLast((line) => line.startsWith('{"level":"fatal"'));
  if (fatal === undefined) return lines.filter((line) => !line.startsWith("{")).join("\n");
  const { message, error } = JSON.parse(fatal) as { message: string; error: string };
  return `${message}: ${error}`;
}

/** Makes the directories that are missing, for everybody to read: the process's umask is meant for data. */
export function makePublicDir(path: string): void {
  if (existsSync(path)) return;
  makePublicDir(dirname(path));
  mkdirSync(path);
  chmodSync(path, 0o755);
}

/** Replaces the program atomically: whoever starts it meanwhile never finds half of one. */
export function putProgram(from: string, to: string): void {
  renameSync(stageProgram(from, to), to);
}

/** The service's user must be able to run it, whatever the mode of `from`. @returns the copy beside `to` */
export function stageProgram(from: string, to: string): string {
  const staged = `${to}.new`;
  orRemove(staged, () => {
    copyFileSync(from, staged);
    chmodSync(staged, 0o755);
    // A power cut after the rename must not leave a program cut short.
    const fd = openSync(staged, "r");
    fsyncSync(fd);
    closeSync(fd);
  });
  return staged;
}

/** If `work` fails nothing is left of what it was for: half a program on a full disk would keep the spool from its room. */
export function orRemove(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

export function isSameFile(one: string, other: string): boolean {
  if (!existsSync(one) || !existsSync(other)) return false;
  return statSync(one).size === statSync(other).size && readFileSync(one).equals(readFileSync(other));
}

export function holds(path: string, text: string): boolean {
  try {
    return readFileSync(path, "utf8") === text;
  } catch {
    return false;
  }
}

export function removal(path: string, context: Context): Step {
  const place = placeOf(context, path);
  return {
    says: `remove ${path}`,
    isDone: () => !existsSync(place),
    run: () => {
      if (!emptied(place)) context.stdout(`a disk is mounted at ${path}, which is empty now: unmount it\n`);
    },
  };
}

/** Removes what is there, or all that is in it. @returns whether it is gone: where a disk is mounted, the empty directory stays */
function emptied(place: string): boolean {
  try {
    rmSync(place, { recursive: true, force: true });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY" || readdirSync(place).length > 0) throw error;
    return false;
  }
}
