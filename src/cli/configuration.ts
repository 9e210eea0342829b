/**
 * Reads the configuration for a command: mistakes end the command, all reported at once; warnings go to standard
 * error.
 */
import { thisHost } from "../config/host.ts";
import { loadConfig, type Loaded } from "../config/index.ts";
import { ConfigurationError, type Context } from "./command.ts";

type Configured = Extract<Loaded, { config: unknown }>;

export function loaded({ env, written }: Context): Loaded {
  return loadConfig(env, thisHost, written);
}

export function configured(context: Context): Configured {
  const found = loaded(context);
  for (const warning of found.warnings) context.stderr(`warning: ${warning}\n`);
  if ("config" in found) return found;
  const { mistakes } = found;
  const count = mistakes.length === 1 ? "a mistake" : `${mistakes.length} mistakes`;
  throw new ConfigurationError(
    `${count} in the configuration, nothing was changed:\n${mistakes.map((text) => `  ${text}\n`).join("")}`,
  );
}
