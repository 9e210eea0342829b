/**
 * Rotation: secrets that change while the gateway runs. Their files are read again now and then, together with the
 * rest of the configuration, so that the same rules apply. A good value replaces the old one in the very tables that
 * the parts read at each use (a connection, a request); a bad one is logged, and the old one stays.
 *
 * Rejected alternative: to watch the files, because that misses a file that is mounted in their place (a Kubernetes
 * secret is a symbolic link that moves).
 */
import type { Config, Loaded } from "./index.ts";
import { tables } from "./tables.ts";
import type { Log } from "../core/log.ts";
import type { Settings } from "../core/settings.ts";

export const readAgainMs = 10_000;

/** @returns a function that reads again, and changes `config` in place */
export function rotation(config: Config, load: () => Loaded, log: Log): () => void {
  let told = "";
  return () => {
    const loaded = load();
    if ("config" in loaded) {
      const changed = takeSecrets(config, loaded.config);
      if (changed.length > 0)
        log.info(
          { settings: changed },
          "secrets were read again, and are in use from the next connection on",
        );
      else if (told !== "") log.info("the files of the settings are valid again");
      told = "";
      return;
    }
    const now = loaded.mistakes.join("\n");
    if (now !== told)
      log.warn(
        { mistakes: loaded.mistakes },
        "a file of the settings is not valid any more; its earlier value stays in use",
      );
    told = now;
  };
}

function takeSecrets(config: Config, fresh: Config): string[] {
  return Object.entries<Settings>(tables).flatMap(([part, table]) => {
    const now = config[part as keyof Config] as Record<string, unknown>;
    const next = fresh[part as keyof Config] as Readonly<Record<string, unknown>>;
    const changed = Object.entries(table).filter(([key, { secret }]) => secret && now[key] !== next[key]);
    for (const [key] of changed) now[key] = next[key];
    return changed.map(([, { name }]) => name);
  });
}
