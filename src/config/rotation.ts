/**
 * Rotation: secrets that change while the gateway runs. Their files are read again now and then, and at each SIGHUP,
 * together with the rest of the configuration, so that the same rules apply. A good value replaces the old one in the
 * very tables that the parts read at each use (a connection, a request); a bad one is logged, and the old one stays.
 * The other settings decide how parts are built, so they change with a restart only; at a SIGHUP the log names those
 * that wait for it.
 *
 * Rejected alternative: to watch the files, because that misses a file that is mounted in their place (a Kubernetes
 * secret is a symbolic link that moves).
 */
import type { Config, Loaded } from "./index.ts";
import { placesOf } from "./tables.ts";
import { explain, type Log } from "../core/log/log.ts";

export const readAgainMs = 10_000;

/** @param taken called once something changed @returns a function that reads again, and changes `config` in place */
export function rotation(config: Config, load: () => Loaded, log: Log, taken = () => {}): () => void {
  let reported = "";
  return () => {
    const loaded = attempted(load);
    if ("config" in loaded) {
      const changed = takeSecrets(config, loaded.config);
      if (changed.length > 0) {
        log.info(
          { settings: changed },
          "secrets were read again, and are in use from the next connection on",
        );
        taken();
      } else if (reported !== "") log.info("the files of the settings are valid again");
      reported = "";
      return;
    }
    const now = loaded.mistakes.join("\n");
    if (now !== reported)
      log.warn(
        { mistakes: loaded.mistakes },
        "a file of the settings is not valid any more; its earlier value stays in use",
      );
    reported = now;
  };
}

/** Without a descriptor, say, nothing can be read again now. */
function attempted(load: () => Loaded): Loaded {
  try {
    return load();
  } catch (error) {
    return { mistakes: [explain(error)], warnings: [] };
  }
}

/** For SIGHUP: says what was taken and what was not, each time. Changes `config` in place. */
export function takeAnew(config: Config, loaded: Loaded, log: Log): void {
  if ("mistakes" in loaded) {
    const { mistakes } = loaded;
    log.error({ mistakes }, "nothing was reloaded: the settings are not valid; the earlier ones stay in use");
    return;
  }
  const taken = takeSecrets(config, loaded.config);
  const waiting = changedBesides(config, loaded.config);
  log.info({ taken }, "reloaded: the files of secrets and certificates were read again");
  if (waiting.length > 0)
    log.warn({ settings: waiting }, "these settings have changed, and are in force only after a restart");
}

/** The names of settings that differ. */
function changedBesides(config: Config, fresh: Config): string[] {
  const ofTables = changes(config, fresh).map(({ setting }) => setting.name);
  const isMapped = config.mappingsText === fresh.mappingsText;
  return isMapped ? ofTables : [...new Set([...ofTables, "MAPPINGS_FILE"])];
}

/**
 * One that is new or gone waits for a restart, for by whether it is there parts are built: to take ADMIN_TOKEN away opened /admin at the address
 * that is listened at until then, whatever address the settings name by now.
 */
function takeSecrets(config: Config, fresh: Config): string[] {
  const isRenewed = ({ values, key, next }: Change) => values[key] !== undefined && next !== undefined;
  const changed = changes(config, fresh).filter((change) => change.setting.secret && isRenewed(change));
  for (const { values, key, next } of changed) values[key] = next;
  return changed.map(({ setting }) => setting.name);
}

type Change = ReturnType<typeof changes>[number];

/** The settings that differ, each with its place in `config` and its value in `fresh`. */
function changes(config: Config, fresh: Config) {
  const nexts = placesOf(fresh).map(({ values, key }) => values[key]);
  return placesOf(config)
    .map((place, at) => ({ ...place, next: nexts[at] }))
    .filter(({ values, key, next }) => !Bun.deepEquals(values[key], next));
}
