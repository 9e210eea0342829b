/**
 * The judge's policy as it stands now: what the environment says, and over it what the table app_settings says.
 *
 * A row that cannot be read keeps the last good value and is reported, so that a slip in a table never changes what a
 * gateway does to something nobody asked for.
 */
import { explain, type Log } from "../core/log/log.ts";
import type { Registry } from "../core/registry.ts";
import { policySettings, type Policy } from "../judge/judge.ts";

export interface LivePolicy {
  get(): Policy;
  /** Takes the rows of app_settings; a key that is absent falls back to the environment. */
  apply(rows: Readonly<Record<string, string>>): void;
  /** What could not be read, one sentence each. */
  mistakes(): readonly string[];
}

export function createLivePolicy(fromEnvironment: Policy, log: Log): LivePolicy {
  let current: Policy = fromEnvironment;
  let mistakes: string[] = [];

  function apply(rows: Readonly<Record<string, string>>): void {
    const found: string[] = [];
    const next: Record<string, unknown> = { ...fromEnvironment };
    for (const [key, setting] of Object.entries(policySettings)) {
      const text = rows[setting.name];
      if (text === undefined || text === "") continue;
      const read = setting.schema.safeParse(text);
      if (read.success) {
        next[key] = read.data;
        continue;
      }
      next[key] = current[key as keyof Policy];
      found.push(
        `app_settings ${setting.name}="${text}" must be ${read.error.issues[0]?.message ?? setting.unit}; ${String(next[key])} stays`,
      );
    }
    for (const mistake of found)
      if (!mistakes.includes(mistake)) log.warn({ mistake }, "a setting in the database cannot be read");
    mistakes = found;
    const changed = Object.keys(next).filter((key) => next[key] !== current[key as keyof Policy]);
    // Every key of policySettings is present and was read by its own schema, or was good before.
    current = next as unknown as Policy;
    if (changed.length > 0) log.info(namedValues(current), "settings changed by the database");
  }

  return { get: () => current, apply, mistakes: () => mistakes };
}

/**
 * Reads app_settings and puts it in force. Two may be under way; what was read earlier must not take the place of what was read
 * later. A table that cannot be read leaves the last values.
 */
export function pollOf(registry: Pick<Registry, "settings">, policy: LivePolicy, log: Log) {
  let [asked, applied] = [0, 0];
  return async (): Promise<void> => {
    const turn = ++asked;
    try {
      const rows = await registry.settings();
      if (turn < applied) return;
      applied = turn;
      policy.apply(rows);
    } catch (error) {
      log.debug({ error: explain(error) }, "app_settings cannot be read; the last values stay");
    }
  };
}

/** Under the names that operators know. */
function namedValues(policy: Policy): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(policySettings).map(([key, { name }]) => [name, policy[key as keyof Policy]]),
  );
}
