/**
 * `sluice upgrade FILE`: replaces this executable by another, and goes back by itself if that one is not ready in
 * time.
 *
 * Before anything is changed the file must say what it is: it must run on this host, and know the format of the
 * existing spool. The old executable is kept beside the new one until that is ready. Type=notify makes `systemctl
 * restart` the proof: it succeeds only after READY=1.
 */
import { existsSync, renameSync } from "node:fs";
import { z } from "zod";
import { command, type Context } from "../command.ts";
import {
  follow,
  hasSystemd,
  isSameFile,
  paths,
  placeOf,
  putProgram,
  stageProgram,
  systemctlOf,
  wantsRoot,
} from "./host.ts";
import { dryRun } from "./install.ts";
import { formatInstalled } from "./format.ts";

export const upgrade = command({
  name: "upgrade",
  summary: "Put another executable in place and restart; if it is not ready in time, go back to this one",
  arguments: { file: "The new executable" },
  options: { dryRun },
  async run(context, { args, options }) {
    if (!options.dryRun) wantsRoot(context, "upgrade");
    const binary = placeOf(context, paths.binary);
    const previous = placeOf(context, paths.previous);
    if (!existsSync(binary)) throw new Error(`${paths.binary} does not exist: \`sluice install\` creates it`);
    const next = await askedOf(context, args.file);
    refuseOlderFormat(context, next);
    context.stdout(`${args.file} is Sluice ${next.version} (${next.commit})\n`);
    if (isSameFile(args.file, binary)) {
      context.stdout("it is the installed version already\n");
      return 0;
    }
    const systemctl = systemctlOf(context);
    const restarts = hasSystemd(context);
    const swap = [
      {
        says: `put ${args.file} in place, and keep the old one as ${paths.previous}`,
        isDone: () => false,
        run() {
          // First of all: FILE may be the previous one, which is written over next.
          const staged = stageProgram(args.file, binary);
          putProgram(binary, previous);
          renameSync(staged, binary);
        },
      },
    ];
    await follow(context, swap, options.dryRun);
    if (!restarts) {
      context.stderr("this host has no systemd: restart the gateway by hand\n");
      return 0;
    }
    const restart = {
      says: "restart, and wait until it is ready",
      isDone: () => false,
      run: () => systemctl.run("restart", "sluice"),
    };
    try {
      await follow(context, [restart], options.dryRun);
      return 0;
    } catch (error) {
      putProgram(previous, binary);
      await systemctl.run("reset-failed", "sluice").catch(() => {});
      await systemctl.run("restart", "sluice");
      throw new Error(
        "the new one was not ready in time, so the old one runs again; journalctl -u sluice says why",
        {
          cause: error,
        },
      );
    }
  },
});

const asked = z.object({ version: z.string(), commit: z.string(), spool_format: z.number() });
type Asked = z.infer<typeof asked>;

/** @throws if it does not run here, or is not a Sluice that says what it is */
async function askedOf(context: Context, file: string): Promise<Asked> {
  try {
    const child = Bun.spawn([file, "help", "version", "--json"], {
      env: { PATH: context.env["PATH"] },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return asked.parse(JSON.parse(await new Response(child.stdout).text()));
  } catch (cause) {
    throw new Error(`${file} is not a Sluice that runs on this host`, { cause });
  }
}

/** @throws if the existing spool has a newer format than the new executable knows */
function refuseOlderFormat(context: Context, next: Asked): void {
  const found = formatInstalled(context);
  if (found !== undefined && found > next.spool_format)
    throw new Error(
      `the spool has format ${found}, and ${next.version} knows formats up to ${next.spool_format}: to go back, let the sinks take everything (\`sluice spool status\`), then begin with a new DATA_DIR`,
    );
}
