/**
 * Reads one table of settings from the environment. Every mistake is collected, none is thrown: an operator who
 * cannot reach the machine twice wants to see all of them. A mistaken setting reads as its default, so that the
 * checks across settings can still run.
 */
import { join } from "node:path";
import { explain } from "../core/log/log.ts";
import { keepSecret, masked } from "../core/text/mask.ts";
import { credentialOf, isKeyFile, noCredential, type Setting, type Settings } from "../core/settings.ts";
import type { Host } from "./host.ts";

export type Env = Readonly<Record<string, string | undefined>>;

/** One setting in force, safe to print. */
export interface Effective {
  readonly name: string;
  /** Masked; null if not set. */
  readonly value: string | null;
  readonly origin: "default" | "environment" | "file" | "kept in DATA_DIR" | `from ${string}`;
}

/** Where a setting is written: the file of --env-file, or what the unit gives the service. */
export interface Place {
  readonly path: string;
  /** Absent in a unit. */
  readonly line?: number;
}

/** Name → place. */
export type Written = ReadonlyMap<string, Place>;

export interface Mistake {
  readonly name: string;
  /** Name, value (masked), what is wrong, and the remedy. */
  readonly text: string;
}

export interface TableRead {
  readonly values: Readonly<Record<string, unknown>>;
  readonly mistakes: readonly Mistake[];
  readonly warnings: readonly string[];
  readonly effective: readonly Effective[];
}

type CredentialRead = Raw & { readonly path: string };
type Raw = (
  | { text: string | null; origin: Effective["origin"]; /** Where it was read. */ path?: string }
  | { mistake: string }
) & {
  /** The name that is set too, and that a credential replaces. */
  unread?: string;
};

/** What stands for such bytes in what the runtime reads of the environment. */
const unreadable = "\uFFFD";

export function readTable(table: Settings, env: Env, host: Host, written: Written = new Map()): TableRead {
  const values: Record<string, unknown> = {};
  const mistakes: Mistake[] = [];
  const warnings: string[] = [];
  const effective: Effective[] = [];
  for (const [key, setting] of Object.entries(table)) {
    const { name, schema } = setting;
    const raw = find(setting, env, host, written);
    const text = "text" in raw ? raw.text : setting.default;
    if (text !== null && (setting.secret || isUrl(setting, text))) keepSecret(text);
    const read = schema.safeParse(text ?? undefined);
    values[key] = read.success ? read.data : schema.parse(setting.default ?? undefined);
    const path = isKeyFile(setting) ? text : "path" in raw ? raw.path : undefined;
    const exposure = path ? host.exposureOfSecret(path) : undefined;
    if (exposure !== undefined) warnings.push(`${name}: ${exposure}`);
    for (const form of [name, `${name}_FILE`].filter((one) => isQuoted(env[one])))
      warnings.push(
        `${form}: the quotes around it are a part of the value (\`docker run --env-file\` leaves them); leave them out`,
      );
    if (raw.unread !== undefined)
      warnings.push(`${raw.unread}: not read, since the credential ${credentialOf(name)} is given; unset it`);
    if ("mistake" in raw) mistakes.push({ name, text: raw.mistake });
    else effective.push({ name, value: shown(setting, raw.text), origin: raw.origin });
    if (!read.success) mistakes.push({ name, text: wrong(setting, text, read.error.issues[0]?.message) });
  }
  return { values, mistakes, warnings, effective };
}

/**
 * The text of a setting before it is parsed. Empty counts as unset, so that `NAME=` in a unit or compose file means
 * nothing. A credential takes precedence: whoever put it there meant it to replace what stands in a file of settings.
 */
function find(setting: Setting<unknown>, env: Env, host: Host, written: Written): Raw {
  const { name, secret } = setting;
  const given = env[name]?.trim() ?? "";
  const path = secret ? (env[`${name}_FILE`]?.trim() ?? "") : "";
  const credential = secret || isKeyFile(setting) ? credentialFile(setting, env, host) : undefined;
  if (credential !== undefined) {
    const [form, text] = given === "" ? [`${name}_FILE`, path] : [name, given];
    return text === "" || text === credential.path ? credential : { ...credential, unread: form };
  }
  for (const [form, text] of [
    [name, given],
    [`${name}_FILE`, path],
  ] as const)
    if (text.includes(unreadable))
      return {
        mistake: `${form}: holds bytes that are not UTF-8, which would be read as others: write it anew in UTF-8`,
      };
  if (given !== "" && path !== "") {
    return { mistake: `${name} and ${name}_FILE are both set: unset one of them` };
  }
  const place = written.get(name);
  if (given !== "") return { text: given, origin: place ? `from ${place.path}` : "environment" };
  if (path !== "") return fromFile(`${name}_FILE=${pathShown(path)}`, path, host);
  return { text: setting.default, origin: "default" };
}

/** Returns undefined if there is no such credential. Of a key it is the file that is meant, else what is in it. */
function credentialFile(setting: Setting<unknown>, env: Env, host: Host): CredentialRead | undefined {
  const dir = env["CREDENTIALS_DIRECTORY"] ?? "";
  if (dir === "") return undefined;
  const id = credentialOf(setting.name);
  const path = join(dir, id);
  const read = fromFile(`${setting.name}, credential ${id}`, path, host, true);
  if (read === undefined || "mistake" in read) return read && { ...read, path };
  return { ...read, path, text: isKeyFile(setting) ? path : read.text };
}

/** Masks what is not a path: somebody may have given the secret itself. */
const pathShown = (path: string) => (/^[./%~]/.test(path) ? path : "***");

/** Reads a secret from a file. `mayLack`: returns undefined if there is no such file, or what the unit gives for none. */
function fromFile(said: string, path: string, host: Host): Raw;
function fromFile(said: string, path: string, host: Host, mayLack: true): Raw | undefined;
function fromFile(said: string, path: string, host: Host, mayLack = false): Raw | undefined {
  try {
    const text = host.readText(path).trim();
    if (mayLack && text === noCredential) return undefined;
    if (text !== "") return { text, origin: "file", path };
    return { mistake: `${said}: the file is empty; write the secret into it, or give no file` };
  } catch (error) {
    if (mayLack && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    const why = explain(error).replaceAll(path, pathShown(path));
    return { mistake: `${said}: cannot be read (${why}); see that it exists and Sluice's user may read it` };
  }
}

function wrong(setting: Setting<unknown>, text: string | null, wanted = "another value"): string {
  const { name, help } = setting;
  const fallback = setting.default === null ? "unset it" : `unset it for the default, ${setting.default}`;
  return `${name}=${shown(setting, text) ?? ""}: must be ${wanted}; correct it, or ${fallback}. ${help}`;
}

function isQuoted(text = ""): boolean {
  return /^(["']).*\1$/.test(text.trim());
}

/** A setting's text, safe to print: no secret, and no password within a URL, even if the URL is broken. */
function shown(setting: Setting<unknown>, text: string | null): string | null {
  if (text === null) return null;
  if (isUrl(setting, text) && /^[a-z][a-z0-9+.-]*:\/\/[^\s"'<>]*$/i.test(text)) return masked(text);
  // If a URL lacks its scheme or contains a blank, nobody can tell where a password begins and ends.
  return setting.secret || (isUrl(setting, text) && /[@?]/.test(text)) ? "***" : masked(text);
}

function isUrl({ unit, secret }: Setting<unknown>, text: string): boolean {
  return unit.includes("url") || (!secret && text.includes("://"));
}
