/**
 * The configuration: every part's settings, read once from the environment, with all mistakes reported at once.
 *
 * Nothing here changes anything: a wrong configuration ends with exit code 78 before the spool is touched. There is
 * no configuration file: units, containers and shells all set environment variables well, and secrets come as
 * NAME_FILE.
 */
import { type Kind, valuesOf } from "../core/kind.ts";
import { askedSinks, SINKS } from "../sink/index.ts";
import { httpMistakes } from "../http/server.ts";
import { sharedAuthMistakes } from "../redis/shared-auth-settings.ts";
import { askedSources, SOURCES } from "../source/index.ts";
import { listenMistakes } from "./listeners.ts";
import { readMappings } from "./mappings.ts";
import { statusMistakes } from "./status-topic.ts";
import { keptGatewayId, nameOfHost } from "./gateway-id.ts";
import { type Host, thisHost } from "./host.ts";
import { type Effective, type Env, readTable, type TableRead, type Written } from "./read.ts";
import { allSettings, type Config, tables } from "./tables.ts";
import { unknownNames } from "./unknown.ts";

export type { Config } from "./tables.ts";
export type { Effective } from "./read.ts";

export type Loaded =
  | {
      readonly config: Config;
      readonly effective: readonly Effective[];
      readonly warnings: readonly string[];
    }
  | { readonly mistakes: readonly string[]; readonly warnings: readonly string[] };

/**
 * Every mistake is one line that names the setting, its value (masked), what is wrong, and the remedy.
 * @param written the names of `env` that stand in a file of settings, where nothing else should stand
 */
export function loadConfig(env: Env, host: Host = thisHost, written: Written = new Map()): Loaded {
  const reads = Object.entries(tables).map(
    ([name, table]) => [name, readTable(table, env, host, written)] as const,
  );
  const settings = fillIn(Object.fromEntries(reads.map(([name, read]) => [name, read.values])), env, host);
  const mapped = readMappings(settings.mapping.file, settings.mqtt, host);
  const config = { ...settings, mappings: mapped.mappings, mappingsText: mapped.text };
  const found = unknownNames(env, namesOf(), written);
  const mistakes = allMistakes(
    reads.map(([, read]) => read),
    config,
  );
  const exposure = host.exposureOf(config.general.dataDir);
  mistakes.push(...mapped.mistakes, ...found.mistakes, ...exposure.mistakes);
  const ofRows = reads.flatMap(([, read]) => read.warnings);
  const warnings = [...found.warnings, ...ofRows, ...mapped.warnings, ...exposure.warnings];
  if (mistakes.length > 0) return { mistakes, warnings };
  return {
    config,
    effective: reads.flatMap(([, read]) => read.effective).map(filledIn(config, host)),
    warnings,
  };
}

/**
 * What is wrong with each setting, then with settings in combination (each part knows its own). A combination is not
 * reported if one of its settings is itself mistaken.
 */
function allMistakes(reads: readonly TableRead[], config: Config): string[] {
  const single = reads.flatMap(({ mistakes }) => mistakes);
  const isMistaken = (name: string) => single.some((mistake) => mistake.name === name);
  // If the setting that turns a part on is mistaken, nothing is known about the part: what it would replace is not
  // required either.
  const isMeant = ({ settings }: Kind) =>
    Object.values(settings).some((row) => row.default === null && isMistaken(row.name));
  const sources = askedSources(config, isMeant);
  const sourceNames = sources.map(({ name }) => name);
  const asked = new Set<Kind>([...sources, ...askedSinks(config)]);
  const kinds: readonly Kind[] = [...SOURCES, ...SINKS];
  const crossed = [
    ...kinds.flatMap((kind) => kind.mistakes?.(valuesOf(config, kind), asked.has(kind)) ?? []),
    ...httpMistakes(config.http),
    ...sharedAuthMistakes(config),
    ...statusMistakes(config, sourceNames),
    ...listenMistakes(config, sourceNames),
  ];
  const fresh = crossed.filter((sentence) => !single.some(({ name }) => sentence.includes(name)));
  return [...single.map(({ text }) => text), ...new Set(fresh)];
}

/** Fills in the settings whose default depends on the host. `values` has the shape of the tables it was read by. */
function fillIn(
  values: Readonly<Record<string, unknown>>,
  env: Env,
  host: Host,
): Omit<Config, "mappings" | "mappingsText"> {
  const read = values as Config;
  const { general } = read;
  const dataDir = general.dataDir ?? defaultDataDir(env, host);
  const gatewayId = general.gatewayId ?? keptGatewayId(dataDir, host) ?? nameOfHost(host);
  return { ...read, general: { ...general, dataDir, gatewayId } };
}

/**
 * systemd's StateDirectory= (several are separated by colons), else the directory of the Filesystem Hierarchy
 * Standard, else one here.
 */
function defaultDataDir(env: Env, host: Host): string {
  const given = env["STATE_DIRECTORY"]?.split(":")[0];
  if (given) return given;
  return host.canWrite("/var/lib/sluice") ? "/var/lib/sluice" : "./sluice-data";
}

function filledIn({ general }: Config, host: Host): (row: Effective) => Effective {
  const found: Readonly<Record<string, Partial<Effective>>> = {
    DATA_DIR: { value: general.dataDir },
    GATEWAY_ID: {
      value: general.gatewayId,
      ...(keptGatewayId(general.dataDir, host) !== undefined && { origin: "kept in DATA_DIR" }),
    },
  };
  return (row) => (row.value === null ? { ...row, ...found[row.name] } : row);
}

function namesOf(): { known: string[]; secrets: string[] } {
  const known = allSettings.map(({ name }) => name);
  return { known, secrets: allSettings.filter(({ secret }) => secret).map(({ name }) => name) };
}
