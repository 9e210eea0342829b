/**
 * Every setting of Sluice: the table of each part, gathered. Help, the sample file, docs/settings.md and the reading itself
 * iterate over this object; a new part is one line here. What belongs to no single part stands in `generalSettings`.
 */
import { z } from "zod";
import {
  oneOf,
  integer,
  credentialOf,
  fileSettingOf,
  isKeyFile,
  optionalString,
  type Setting,
  type Settings,
  type Values,
} from "../core/settings.ts";
import { postgresSettings } from "../store/postgres/postgres-client.ts";
import { httpSettings } from "../http/server.ts";
import { gatewayIdPattern } from "./gateway-id.ts";
import { judgeSettings } from "../judge/judge.ts";
import type { Mapping } from "../judge/mapping/compile.ts";
import { mappingSettings } from "../judge/mapping/file.ts";
import { cacheSettings } from "../registry/auth-cache.ts";
import { sharedAuthSettings } from "../redis/shared-auth-settings.ts";
import { lookupSettings } from "../registry/lookup.ts";
import { memorySettings } from "../core/memory/budget.ts";
import { tablesOf, titlesOf } from "../core/kind.ts";
import { SINKS } from "../sink/index.ts";
import { localSettings } from "../store/sqlite/retention.ts";
import { SOURCES } from "../source/index.ts";
import { spoolSettings } from "../spool/spool-settings.ts";
import { watchdogSettings } from "../intake/watchdog.ts";

const generalSettings = {
  dataDir: optionalString({
    name: "DATA_DIR",
    unit: "directory",
    check: z.string().regex(/^(?!~(?:\/|$))/, "written out: only a shell reads ~ as a home directory"),
    help: "Where the spool and the local store live (absent: $STATE_DIRECTORY, else /var/lib/sluice if it can be written, else ./sluice-data).",
  }),
  gatewayId: optionalString({
    name: "GATEWAY_ID",
    unit: "name",
    check: z.string().regex(gatewayIdPattern, "up to 64 letters, digits, dots, dashes and underscores"),
    help: "Names this gateway in stats, logs and its MQTT session (absent: the name kept in DATA_DIR, at first the host name).",
  }),
  logLevel: oneOf({
    name: "LOG_LEVEL",
    default: "info",
    words: ["debug", "info", "warn", "error", "silent"],
    // Those of Python, as the services have them that this gateway replaces.
    others: { notset: "debug", warning: "warn", critical: "error", fatal: "error" },
    help: "The least severe level that is logged.",
  }),
  logStatsEverySeconds: integer({
    name: "LOG_STATS_EVERY_SECONDS",
    default: 30,
    unit: "seconds",
    max: 86_400,
    help: "How often a line with the stats is logged; 0: never.",
  }),
  statusTopic: optionalString({
    name: "STATUS_TOPIC",
    unit: "topic",
    check: z
      .string()
      .max(256, "a topic of at most 256 characters")
      .regex(
        /^[^$+#\0][^+#\0]*$/,
        "a topic without + and # that does not begin with $, such as site/sluice/status",
      ),
    help: "Where the gateway publishes its health as retained JSON, with a last will, at MQTT_URL or its own broker (absent: nowhere).",
  }),
  settingsPollSeconds: integer({
    name: "SETTINGS_POLL_SECONDS",
    default: 5,
    unit: "seconds",
    min: 1,
    max: 3_600,
    help: "How often app_settings is read if changes to it cannot be watched.",
  }),
};

export const tables = {
  general: generalSettings,
  ...tablesOf(SOURCES),
  mapping: mappingSettings,
  judge: judgeSettings,
  cache: { ...cacheSettings, ...sharedAuthSettings },
  lookup: lookupSettings,
  memory: memorySettings,
  spool: spoolSettings,
  watchdog: watchdogSettings,
  local: localSettings,
  postgres: postgresSettings,
  ...tablesOf(SINKS),
  http: httpSettings,
};

export const allSettings: readonly Setting<unknown>[] = Object.values<Settings>(tables).flatMap((table) =>
  Object.values(table),
);

/** Credential names as a unit gives them (LoadCredential=database-url:…) → the setting that it is, or whose file. */
export const credentialNames: ReadonlyMap<string, string> = new Map(
  allSettings
    .filter((setting) => setting.secret || isKeyFile(setting))
    .map((setting) => [credentialOf(setting.name), fileSettingOf(setting)]),
);

/** The tables' names for people. */
export const titles: Readonly<Record<keyof typeof tables, string>> = {
  general: "General",
  ...titlesOf(SOURCES),
  mapping: "Mappings",
  judge: "Judge",
  cache: "Auth cache",
  lookup: "Look-ups in the registry",
  memory: "Memory",
  spool: "Spool",
  watchdog: "Watchdog",
  local: "Local store",
  postgres: "PostgreSQL",
  ...titlesOf(SINKS),
  http: "HTTP",
};

type Tables = { readonly [K in keyof typeof tables]: Values<(typeof tables)[K]> };

/** The values of all settings; `dataDir` and `gatewayId` are filled in. */
export type Config = Omit<Tables, "general"> & {
  /** What MAPPINGS_FILE says, compiled. */
  readonly mappings: readonly Mapping[];
  /** The text of MAPPINGS_FILE. */
  readonly mappingsText: string;
  readonly general: Tables["general"] & { readonly dataDir: string; readonly gatewayId: string };
};

/** Every setting with the table of values that it stands in, and its key there. */
export function placesOf(config: Config) {
  return Object.entries<Settings>(tables).flatMap(([part, table]) => {
    const values = config[part as keyof typeof tables] as Record<string, unknown>;
    return Object.entries(table).map(([key, setting]) => ({ setting, values, key }));
  });
}
