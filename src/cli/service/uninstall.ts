/**
 * `sluice uninstall`: removes the service. Settings and data stay, because nothing brings them back, unless --purge
 * is given.
 */
import { command, toggle } from "../command.ts";
import {
  follow,
  hasSystemd,
  paths,
  removal,
  type Step,
  systemctlOf,
  wantsNoPackage,
  wantsRoot,
} from "./host.ts";
import { dryRun } from "./install.ts";

export const uninstall = command({
  name: "uninstall",
  summary: "Stop the service and remove program and unit; settings and data stay",
  options: {
    dryRun,
    purge: toggle(
      "--purge",
      "Remove settings and data too: what no sink has taken is lost, and devices must be registered again",
    ),
  },
  readsSettings: false,
  async run(context, { options }) {
    if (!options.dryRun) wantsRoot(context, "uninstall");
    wantsNoPackage(context, "uninstall");
    const systemctl = systemctlOf(context);
    const stop: Step = {
      says: "stop it, and disable it at boot",
      isDone: () =>
        !systemctl.is("is-active", "--quiet", "sluice") && !systemctl.is("is-enabled", "--quiet", "sluice"),
      run: () => systemctl.run("disable", "--now", "sluice"),
    };
    const reload: Step = {
      says: "make systemd forget the unit",
      isDone: () => false,
      run: () => systemctl.run("daemon-reload"),
    };
    const gone = [paths.unit, paths.man, paths.binary, paths.previous];
    const kept = [paths.settingsDir, paths.state, paths.privateState];
    const steps = [...gone, ...(options.purge ? kept : [])].map((path) => removal(path, context));
    await follow(context, hasSystemd(context) ? [stop, ...steps, reload] : steps, options.dryRun);
    if (!options.purge) context.stdout(`settings stay in ${paths.settingsDir}, data in ${paths.state}\n`);
    return 0;
  },
});
