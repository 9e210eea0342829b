/**
 * Secrets that change while the gateway runs: the files that hold them are read again now and then, with everything else that the
 * configuration says, so that they are held to the same rules. What is good takes the place of what was, in the very tables that
 * the parts read at each use (a connection, a request); what is not is told, and the old one stays.
 *
 * To watch the files instead would miss what is mounted in their place (a Kubernetes secret is a symbolic link that moves).
 */
import type { Config, Loaded } from "./index.ts";
import { tables } from "./tables.ts";
import type { Log } from "../core/log.ts";
import type { Settings } from "../core/settings.ts";

export const readAgainMs = 10_000;

/** @returns reads again; `config` is changed in place */
export function rotation(config: Config, load: () => Loaded, log: Log): () => void {
  let told = "";
  return () => {
    const loaded = load();
    if ("config" in loaded) {
      const changed = takeSecrets(config, loaded.config);
      if (changed.length > 0)
        log.info({ settings: changed }, "read again, and in use from the next connection on");
      else if (told !== "") log.info("the files of the settings are good again");
      told = "";
      return;
    }
    const now = loaded.mistakes.join("\n");
    if (now !== told)
      log.warn(
        { mistakes: loaded.mistakes },
        "a file of the settings is no good any more; what it said before stays",
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
