/** The settings that the table app_settings may change while gateways run, as administration sees them. */

/** One setting, as GET /admin/settings shows it. */
export interface SettingRow {
  readonly key: string;
  /** What is in force, as one would write it. */
  readonly value: string;
  readonly source: "default" | "environment" | "database";
  /** What the table holds; null: nothing, and the environment's value (else the default) is in force. */
  readonly stored: string | null;
  readonly unit: string;
  readonly help: string;
  /** Why `stored` is not in force; null where it is. */
  readonly mistake: string | null;
}

export interface SettingStore {
  list(): Promise<readonly SettingRow[]>;
  /**
   * `value` null: back to the environment's. Takes effect at once. Rejects with a SettingRefused where it cannot be meant, and with a
   * RegistryError where it cannot be written; undefined where there is no such setting.
   */
  set(key: string, value: string | null): Promise<SettingRow | undefined>;
}

/** The message names the row, and what it must be. */
export class SettingRefused extends Error {}
