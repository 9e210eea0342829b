/**
 * `sluice install`: turns a file into a service. It copies itself, writes the unit and a file of settings, starts the
 * service and waits until it is ready. What exists already stays unchanged, the settings above all. So it may be run
 * again, and after a newer file was copied to the host, a second run puts that in place (`sluice upgrade` does the
 * same with a way back).
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { sampleEnv } from "../../config/print-settings.ts";
import { loadConfig } from "../../config/index.ts";
import { type Command, command, type Context, toggle } from "../command.ts";
import { withSettings } from "../environment.ts";
import { reachable } from "../which-gateway.ts";
import { systemdUnit } from "./systemd-unit.ts";
import {
  follow,
  hasSystemd,
  holds,
  isSameFile,
  makePublicDir,
  paths,
  placeOf,
  putProgram,
  runsInstalled,
  type Step,
  systemctlOf,
  wantsNoPackage,
  wantsRoot,
} from "./host.ts";

export const dryRun = toggle("--dry-run", "Change nothing; only say what would be done");

/** @param man the manual page, which is made of all commands, this one included */
export function installOf(man: () => string): Command {
  return command({
    name: "install",
    summary:
      "Make this file a systemd service: copy it, write unit and settings, start it, wait until it is ready",
    options: { dryRun },
    readsSettings: false,
    async run(context, { options }) {
      if (!options.dryRun) wantsRoot(context, "install");
      wantsNoPackage(context, "install");
      const changed = await follow(context, filesOf(context, man()), options.dryRun);
      if (!hasSystemd(context)) return withoutSystemd(context);
      await follow(context, serviceOf(context, changed), options.dryRun);
      if (!options.dryRun) sayNext(context);
      return 0;
    },
  });
}

/** The path of this program; run from source that would be Bun, which cannot be a service. */
function ownProgram(): string {
  if (import.meta.path.startsWith("/$bunfs/")) return process.execPath;
  throw new Error("only the built executable can be installed: `bun run build`, then dist/sluice install");
}

function filesOf(context: Context, man: string): readonly Step[] {
  const at = (path: string) => placeOf(context, path);
  return [
    {
      says: `copy this program to ${paths.binary}`,
      isDone: () => isSameFile(ownProgram(), at(paths.binary)),
      run() {
        makePublicDir(dirname(at(paths.binary)));
        putProgram(ownProgram(), at(paths.binary));
      },
    },
    written(context, paths.unit, systemdUnit, 0o644),
    written(context, paths.man, man, 0o644),
    {
      says: `make ${paths.credentials}, which only root may read`,
      isDone: () => existsSync(at(paths.credentials)),
      run: () => void mkdirSync(at(paths.credentials), { recursive: true, mode: 0o700 }),
    },
    {
      ...written(context, paths.settings, sampleEnv(), 0o640),
      says: `write ${paths.settings}: every setting with its default, commented out`,
      // What an operator wrote there stays.
      isDone: () => existsSync(at(paths.settings)),
    },
  ];
}

function written(context: Context, path: string, text: string, mode: number): Step {
  const place = placeOf(context, path);
  return {
    says: `write ${path}`,
    isDone: () => holds(place, text),
    run() {
      makePublicDir(dirname(place));
      writeFileSync(place, text);
      chmodSync(place, mode);
    },
  };
}

/** Type=notify: systemctl returns once the gateway has said that it is ready. */
function serviceOf(context: Context, filesChanged: boolean): readonly Step[] {
  const systemctl = systemctlOf(context);
  // Files may be those of an install that was interrupted here.
  const changed = filesChanged || systemctl.property("NeedDaemonReload") === "yes";
  return [
    { says: "make systemd read the unit", isDone: () => !changed, run: () => systemctl.run("daemon-reload") },
    {
      says: "enable it at boot",
      isDone: () => systemctl.is("is-enabled", "--quiet", "sluice"),
      run: () => systemctl.run("enable", "sluice"),
    },
    {
      says: "start it and wait until it is ready",
      isDone: () => !changed && runsInstalled(context),
      run: () => systemctl.restart(),
    },
  ];
}

function withoutSystemd(context: Context): number {
  context.stderr(
    `this host has no systemd: start \`${paths.binary} run\` at boot as a user of its own, with the settings of ${paths.settings} as its environment and DATA_DIR on a persistent disk\n`,
  );
  return 0;
}

function sayNext(context: Context): void {
  const { env } = withSettings(context, undefined, true);
  const loaded = loadConfig(env);
  const listen = "config" in loaded ? loaded.config.http.listen : "127.0.0.1:8080";
  context.stdout(`
Sluice runs, and will start at boot. Its page: http://${reachable(listen)}/
Next: write MQTT_URL and DATABASE_URL into ${paths.settings} (without them Sluice itself is broker and store), then
  sluice check && systemctl restart sluice
  sluice devices add TENANT DEVICE --site SITE
`);
}
