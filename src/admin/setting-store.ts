/** The settings that the table app_settings may change while gateways run, as administration sees them. */
import { z } from "zod";

/** One setting, as GET /admin/settings shows it. */
export const settingSchema = z.object({
  key: z.string(),
  value: z.string().describe("The value in force, as one would write it."),
  source: z.enum(["default", "environment", "database"]),
  stored: z
    .string()
    .nullable()
    .describe(
      "The value in the table; null: none, so the environment's value (else the default) is in force.",
    ),
  unit: z.string(),
  help: z.string(),
  mistake: z.string().nullable().describe("Why `stored` is not in force; null if it is."),
});
export type SettingRow = Readonly<z.infer<typeof settingSchema>>;

export interface SettingStore {
  list(): Promise<readonly SettingRow[]>;
  /**
   * `value` null: back to the environment's. Takes effect at once. Rejects with a SettingRefused if the value cannot be meant, and with a
   * RegistryError if it cannot be written; undefined if there is no such setting.
   */
  set(key: string, value: string | null): Promise<SettingRow | undefined>;
}

/** The message names the row, and what it must be. */
export class SettingRefused extends Error {}
