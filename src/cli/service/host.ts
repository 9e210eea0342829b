/**
 * The host as `install`, `uninstall` and `upgrade` change it: a list of steps, each of which is looked at before it is done, so that a
 * second run changes nothing and --dry-run can say what a first one would do.
 */
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Context, UsageError } from "../command.ts";

export interface Step {
  /** What it does, as an order: "copy … to …". */
  readonly says: string;
  /** Is it done already? */
  isDone(): boolean;
  run(): void | Promise<void>;
}

/** As FHS has them, for what an administrator installs by hand. */
export const paths = {
  binary: "/usr/local/bin/sluice",
  previous: "/usr/local/bin/sluice.previous",
  unit: "/etc/systemd/system/sluice.service",
  settingsDir: "/etc/sluice",
  settings: "/etc/sluice/sluice.env",
  state: "/var/lib/sluice",
  privateState: "/var/lib/private/sluice",
} as const;

/** @param root for tests: in place of / */
export function placeOf({ root = "/" }: Context, path: string): string {
  return join(root, path);
}

/** @throws UsageError unless root runs it, since nothing could be written */
export function wantsRoot({ uid, root }: Context, command: string): void {
  if (uid !== 0 && root === undefined)
    throw new UsageError(`\`sluice ${command}\` changes the host: run it as root (sudo), or with --dry-run`);
}

/** systemd is the host's (sd_booted(3)). */
export function hasSystemd(context: Context): boolean {
  return existsSync(placeOf(context, "/run/systemd/system"));
}

/** Does what is not done; says what. @returns whether anything was to be done */
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
  /** @throws with its words */
  run(...words: readonly string[]): Promise<void>;
  /** Does it answer yes? */
  is(...words: readonly string[]): boolean;
}

export function systemctlOf({ env }: Context): Systemctl {
  const found = Bun.which("systemctl", { PATH: env["PATH"] ?? "/usr/bin:/bin" });
  return {
    async run(...words) {
      if (found === null) throw new Error("systemctl is not there");
      const child = Bun.spawn([found, ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const said = await new Response(child.stderr).text();
      if ((await child.exited) !== 0) throw new Error(`systemctl ${words.join(" ")}: ${said.trim()}`);
    },
    is: (...words) => found !== null && Bun.spawnSync([found, ...words]).success,
  };
}

/** In one step for whoever starts it meanwhile: a half of a program is never there. */
export function putProgram(from: string, to: string): void {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
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
    run: () => rmSync(place, { recursive: true, force: true }),
  };
}
