/**
 * `sluice install`: from a file to a service. Copies itself, writes the unit and a file of settings, starts the service and waits until
 * it is ready. What is there already stays as it is, the settings above all; so it may be run again, and after a newer file was
 * copied it is the way to put that in place (`sluice upgrade` does it with a way back).
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { sampleEnv } from "../../config/print-settings.ts";
import { loadConfig } from "../../config/index.ts";
import { command, type Context, toggle } from "../command.ts";
import { withSettings } from "../environment.ts";
import { reachable } from "../health.ts";
import { systemdUnit } from "../systemd-unit.ts";
import {
  follow,
  hasSystemd,
  holds,
  isSameFile,
  paths,
  placeOf,
  putProgram,
  type Step,
  systemctlOf,
  wantsRoot,
} from "./host.ts";

export const dryRun = toggle("--dry-run", "Only say what would be done");

export const install = command({
  name: "install",
  summary:
    "Make this file a service of systemd: copy it, write unit and settings, start, wait until it is ready",
  options: { dryRun },
  async run(context, { options }) {
    if (!options.dryRun) wantsRoot(context, "install");
    const changed = await follow(context, filesOf(context), options.dryRun);
    if (!hasSystemd(context)) return withoutSystemd(context);
    await follow(context, serviceOf(context, changed), options.dryRun);
    if (!options.dryRun) sayNext(context);
    return 0;
  },
});

/** This very program; from source it is Bun, which is no service. */
function ownProgram(): string {
  if (import.meta.path.startsWith("/$bunfs/")) return process.execPath;
  throw new Error("only the built executable can be installed: `bun run build`, then dist/sluice install");
}

function filesOf(context: Context): readonly Step[] {
  const at = (path: string) => placeOf(context, path);
  return [
    {
      says: `copy this program to ${paths.binary}`,
      isDone: () => isSameFile(ownProgram(), at(paths.binary)),
      run() {
        mkdirSync(dirname(at(paths.binary)), { recursive: true });
        putProgram(ownProgram(), at(paths.binary));
        chmodSync(at(paths.binary), 0o755);
      },
    },
    written(context, paths.unit, systemdUnit, 0o644),
    {
      says: `make ${paths.settingsDir}, which root alone may read`,
      isDone: () => existsSync(at(paths.settingsDir)),
      run: () => void mkdirSync(at(paths.settingsDir), { recursive: true, mode: 0o700 }),
    },
    {
      ...written(context, paths.settings, sampleEnv(), 0o640),
      says: `write ${paths.settings}: every setting with its default, commented out`,
      // What an operator wrote there is his.
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
      mkdirSync(dirname(place), { recursive: true });
      writeFileSync(place, text);
      chmodSync(place, mode);
    },
  };
}

/** Type=notify: systemctl comes back when the gateway has said that it is ready. */
function serviceOf(context: Context, changed: boolean): readonly Step[] {
  const systemctl = systemctlOf(context);
  const isRunning = () => systemctl.is("is-active", "--quiet", "sluice");
  return [
    { says: "have systemd read the unit", isDone: () => !changed, run: () => systemctl.run("daemon-reload") },
    {
      says: "start it with the host",
      isDone: () => systemctl.is("is-enabled", "--quiet", "sluice"),
      run: () => systemctl.run("enable", "sluice"),
    },
    {
      says: "start it and wait until it is ready",
      isDone: () => !changed && isRunning(),
      run: () => systemctl.run("restart", "sluice"),
    },
  ];
}

function withoutSystemd(context: Context): number {
  context.stderr(
    `this host has no systemd: have ${paths.binary} run started with the host as a user of its own, with the settings of ${paths.settings} as its environment and DATA_DIR on a disk that lasts\n`,
  );
  return 0;
}

function sayNext(context: Context): void {
  const { env } = withSettings(context, undefined, "install");
  const loaded = loadConfig(env);
  const listen = "config" in loaded ? loaded.config.http.listen : "127.0.0.1:8080";
  context.stdout(`
Sluice runs, and will with the host. Its page: http://${reachable(listen)}/
Next: write MQTT_URL and DATABASE_URL into ${paths.settings} (without them it is broker and store itself), then
  sluice check && systemctl restart sluice
  sluice devices add TENANT DEVICE --site SITE
`);
}
