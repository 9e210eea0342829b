/**
 * The environment from which a command reads its settings: the process's own; what that lacks comes from the file of
 * --env-file, or, for root on a host with the unit, from what the unit gives the service. What is typed for one
 * command takes precedence over what is written for all.
 */
import { readFileSync } from "node:fs";
import { normalize } from "node:path";
import type { Env, Place } from "../config/read.ts";
import { parseEnvFile } from "../config/env-file.ts";
import { exposureOfSecret } from "../config/exposure.ts";
import { refusePipe } from "../config/host.ts";
import { allSettings, credentialNames } from "../config/tables.ts";
import { unitEnvironment } from "../config/unit.ts";
import { explain } from "../core/log/log.ts";
import { ConfigurationError, type Context } from "./command.ts";

/** Settings from a file; `path` is for people. */
interface Written {
  readonly path: string;
  readonly values: ReadonlyMap<string, string>;
  /** Setting name → where it stands. */
  readonly places: ReadonlyMap<string, Place>;
}

/** @param isSaid whether a remark names the unit from which they come */
export function withSettings(context: Context, envFile: string | undefined, isSaid = false): Context {
  if (envFile !== undefined) return merged(context, read(context, envFile));
  // systemd has already given all of it to the service.
  if (context.uid !== 0 || context.env["INVOCATION_ID"] !== undefined) return context;
  const found = unitSettings(context);
  if (found === undefined) return context;
  if (isSaid) context.stderr(`settings: ${found.path}\n`);
  return merged(context, found);
}

function merged(context: Context, { path, values, places }: Written): Context {
  const isSet = (name: string) => (context.env[name] ?? "").trim() !== "";
  const other = [...values].filter(([name, value]) => isSet(name) && context.env[name] !== value);
  for (const [name] of other)
    context.stderr(`warning: ${name} of the environment takes precedence over ${path}\n`);
  const more = [...values].filter(([name]) => !isSet(name) && !isSet(otherForm(name)));
  const env: Env = { ...context.env, ...Object.fromEntries(more) };
  const written = new Map(more.flatMap(([name]) => [[name, places.get(name) ?? { path }] as const]));
  return { ...context, env, written };
}

/** NAME for NAME_FILE, and the reverse: if one of them is typed, the other, written one does not apply. */
const otherForm = (name: string) =>
  name.endsWith("_FILE") ? name.slice(0, -"_FILE".length) : `${name}_FILE`;

function read(context: Context, path: string): Written {
  let text: string;
  try {
    refusePipe(path);
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigurationError(`--env-file ${path}: cannot be read (${explain(error)})\n`);
  }
  const { values, lines, remarks } = parseEnvFile(text);
  for (const each of remarks) context.stderr(`warning: ${path}, ${each}\n`);
  const secret = allSettings.find((setting) => setting.secret && values.get(setting.name));
  const exposure = secret && exposureOfSecret(path);
  if (exposure !== undefined) context.stderr(`warning: ${secret?.name}: ${exposure}\n`);
  return { path, values, places: new Map([...lines].map(([name, line]) => [name, { path, line }])) };
}

function unitSettings(context: Context): Written | undefined {
  const unit = unitEnvironment(context.root);
  if (unit === undefined) return undefined;
  const files = unit.files.map((path) => read(context, path));
  const values = new Map([...unit.values, ...files.flatMap((file) => [...file.values])]);
  for (const [id, path] of unit.credentials) {
    const name = credentialNames.get(id);
    if (name === undefined) continue;
    // For the service the credential takes precedence too.
    const given = [name, otherForm(name)].find((form) => values.has(form) && values.get(form) !== path);
    if (given !== undefined)
      context.stderr(`warning: ${given}: not read, since the credential ${id} is given\n`);
    values.delete(otherForm(name));
    values.set(name, path);
  }
  const places = new Map<string, Place>([
    ...[...values.keys()].map((name) => [name, { path: "unit sluice.service" }] as const),
    ...files.flatMap((file) => [...file.places]),
  ]);
  const unwritable = whyNotWritable(values.get("DATA_DIR"), unit.writable);
  if (unwritable !== undefined) context.stderr(`warning: ${unwritable}\n`);
  return { path: ["unit sluice.service", ...files.map(({ path }) => path)].join(", "), values, places };
}

/** Root, who asks, may write anywhere, so no probe would find that the service cannot start there. */
function whyNotWritable(
  dataDir: string | undefined,
  within: readonly string[] | undefined,
): string | undefined {
  if (dataDir === undefined || within === undefined) return undefined;
  if (within.some((path) => `${normalize(dataDir)}/`.startsWith(`${normalize(path)}/`))) return undefined;
  return `DATA_DIR=${dataDir}: the unit lets the service write only below ${within.join(", ")}; to keep the data on another disk, unset DATA_DIR and mount that disk at /var/lib/private/sluice`;
}
