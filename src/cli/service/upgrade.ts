/**
 * `sluice upgrade FILE`: replaces this executable by another, and goes back by itself if that one is not ready in
 * time.
 *
 * Before anything is changed the file must say what it is: it must run on this host, and know the format of the
 * existing spool. The tables are completed. The old executable is kept beside the new one until that is ready. Type=notify makes `systemctl
 * restart` the proof: it succeeds only after READY=1.
 */
import { existsSync, renameSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { loadConfig } from "../../config/index.ts";
import { command, type Context } from "../command.ts";
import { withSettings } from "../environment.ts";
import {
  follow,
  hasSystemd,
  holds,
  isSameFile,
  orRemove,
  paths,
  placeOf,
  putProgram,
  runsInstalled,
  stageProgram,
  type Step,
  systemctlOf,
  wantsNoPackage,
  wantsRoot,
} from "./host.ts";
import { dryRun } from "./install.ts";
import { formatInstalled } from "./spool-format.ts";

/** The longest that another program is waited for. */
const programMs = 60_000;
/** `sluice migrate` takes ten minutes at most for the tables, and as long for each of the two indexes of a large registry. */
const migrateMs = 1_860_000;

export const upgrade = command({
  name: "upgrade",
  summary: "Put another executable in place and restart; if it is not ready in time, go back to this one",
  arguments: { file: "The new executable" },
  options: { dryRun },
  readsSettings: false,
  async run(context, { args, options }) {
    if (!options.dryRun) wantsRoot(context, "upgrade");
    wantsNoPackage(context, "upgrade");
    const binary = placeOf(context, paths.binary);
    if (!existsSync(binary)) throw new Error(`${paths.binary} does not exist: \`sluice install\` creates it`);
    // A bare name would be looked for in PATH, where the installed one is: that would be asked, and this one put in place.
    const file = resolve(args.file);
    const next = askedOf(context, file);
    const found = formatInstalled(context);
    refuseOlderFormat(found, next);
    context.stdout(`${file} is Sluice ${next.version} (${next.commit})\n`);
    if (found !== undefined && next.spool_format > found)
      context.stdout(
        `it gives the spool format ${next.spool_format}, which the installed version cannot read: no way back\n`,
      );
    if (isSameFile(file, binary) && (!hasSystemd(context) || runsInstalled(context))) {
      context.stdout("it is the installed version already\n");
      return 0;
    }
    await follow(context, [swapOf(context, file), ...migrationOf(context, binary)], options.dryRun);
    if (!hasSystemd(context)) {
      context.stderr("this host has no systemd: restart the gateway by hand\n");
      return 0;
    }
    const restart = {
      says: "restart, and wait until it is ready",
      isDone: () => false,
      run: () => systemctlOf(context).restart(),
    };
    try {
      await follow(context, [restart], options.dryRun);
    } catch (error) {
      await goBack(context, error);
    }
    sayOfUnit(context, file);
    return 0;
  },
});

function swapOf(context: Context, file: string): Step {
  const [binary, previous] = [placeOf(context, paths.binary), placeOf(context, paths.previous)];
  return {
    says: `put ${file} in place, and keep the old one as ${paths.previous}`,
    // An upgrade that was interrupted then goes on here.
    isDone: () => isSameFile(file, binary),
    run() {
      // First of all: FILE may be the previous one, which is written over next.
      const staged = stageProgram(file, binary);
      orRemove(staged, () => {
        putProgram(binary, previous);
        renameSync(staged, binary);
      });
    },
  };
}

/** @throws always: either way the new one is not what was hoped for */
async function goBack(context: Context, cause: unknown): Promise<never> {
  const systemctl = systemctlOf(context);
  const previous = placeOf(context, paths.previous);
  if (!existsSync(previous)) throw cause;
  const old = askedOf(context, previous);
  const found = formatInstalled(context) ?? 0;
  const why = "the new one was not ready in time (journalctl -u sluice says why)";
  if (found > old.spool_format)
    throw new Error(
      `${why}, and cannot be taken back: it has given the spool format ${found}, and ${old.version} knows formats up to ${old.spool_format}`,
      { cause },
    );
  putProgram(previous, placeOf(context, paths.binary));
  await systemctl.run("reset-failed", "sluice").catch(() => {});
  await systemctl.restart();
  throw new Error(`${why}, so the old one runs again`, { cause });
}

/**
 * Completes the tables in PostgreSQL, by additions that the old executable can live with. A database that is away must
 * not keep a host from being upgraded, so that only warns.
 */
function migrationOf(context: Context, binary: string): readonly Step[] {
  const loaded = loadConfig(withSettings(context, undefined).env);
  if (!("config" in loaded) || loaded.config.postgres.url === undefined) return [];
  return [
    {
      says: "complete the tables in PostgreSQL (`sluice migrate`)",
      isDone: () => false,
      run() {
        const env = { PATH: context.env["PATH"] };
        const ran = Bun.spawnSync([binary, "migrate"], { env, stdin: "ignore", timeout: migrateMs });
        if (ran.success) return;
        const why = ran.stderr.toString().trim().split("\n").at(-1) || "no answer";
        context.stderr(`warning: the tables were not completed (${why}): \`sluice migrate\` does it later\n`);
      },
    },
  ];
}

function sayOfUnit(context: Context, file: string): void {
  const unit = Bun.spawnSync([file, "help", "systemd"], { stdin: "ignore" }).stdout.toString();
  if (!holds(placeOf(context, paths.unit), unit))
    context.stdout("its unit is not the installed one: `sluice install` puts it in place\n");
}

const asked = z.object({ version: z.string(), commit: z.string(), spool_format: z.number() });
type Asked = z.infer<typeof asked>;

/** @throws if it does not run here, or is not a Sluice that says what it is */
function askedOf(context: Context, file: string): Asked {
  try {
    const env = { PATH: context.env["PATH"] };
    const words = [file, "help", "version", "--json"];
    const { stdout } = Bun.spawnSync(words, { env, stdin: "ignore", timeout: programMs });
    return asked.parse(JSON.parse(stdout.toString()));
  } catch (cause) {
    throw new Error(`${file} is not a Sluice that runs on this host${cureOf(file, cause)}`, { cause });
  }
}

/** A browser, curl and scp give no right to run what they bring, and may bring a part of it. */
function cureOf(file: string, cause: unknown): string {
  if (cause instanceof SyntaxError)
    return " (if it should be one, copy it again: it may have been cut short)";
  if ((cause as NodeJS.ErrnoException).code !== "EACCES") return "";
  return ` (\`chmod +x ${file}\`; if that does not help, copy it to a disk that is not mounted noexec)`;
}

/** @throws if the existing spool has a newer format than the new executable knows */
function refuseOlderFormat(found: number | undefined, next: Asked): void {
  if (found !== undefined && found > next.spool_format)
    throw new Error(
      `the spool has format ${found}, and ${next.version} knows formats up to ${next.spool_format}: to go back, let the sinks take everything (\`sluice spool status\`), then begin with a new DATA_DIR`,
    );
}
