/**
 * A setting is one row in the file that uses it: name, default, unit, one sentence.
 *
 * `sluice help settings`, the sample environment file and docs/settings.md are printed from these rows; config/index.ts
 * gathers them, reads the environment once and reports every mistake at once.
 */
import { z } from "zod";
import { parseListen } from "./net/listen.ts";
import { readMeasure, suchAs, writtenMeasure } from "./measure.ts";

export interface Setting<T> {
  readonly name: string;
  /** Turns the text of the environment into a value, or says what is wrong with it. */
  readonly schema: z.ZodType<T>;
  /** The default as one would write it in the environment; null: no default, the setting is optional. */
  readonly default: string | null;
  /** What a number counts, or the form of the text: "ms", "bytes", "url", "0 or 1". */
  readonly unit: string;
  /** One sentence. */
  readonly help: string;
  /** Never printed; may be given as NAME_FILE, the path of a file that holds it. */
  readonly secret: boolean;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;
/** The values that a table of settings gives once read. */
export type Values<S> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/**
 * What the unit gives as a secret whose file does not exist (SetCredential=), because systemd refuses to start a
 * service that lacks a credential, and takes no empty one. An empty file therefore stays what it is: a mistake.
 */
export const noCredential = "(none)";

/** The name of a secret as a systemd credential: database-url for DATABASE_URL. */
export function credentialOf(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}

/** Whether the setting names a file that is itself a secret: a private key. */
export function isKeyFile({ name, unit }: Setting<unknown>): boolean {
  return unit === "path" && name.endsWith("_KEY");
}

/** The name by which a secret's file is given: DATABASE_URL_FILE; a key is always a file. */
export function fileSettingOf(setting: Setting<unknown>): string {
  return isKeyFile(setting) ? setting.name : `${setting.name}_FILE`;
}

type Row = { name: string; help: string };

/** @param make the schema, as often as one is needed: kept, those of all settings would be a megabyte that is used once */
function row<T>(
  { name, help }: Row,
  fallback: string | null,
  unit: string,
  make: () => z.ZodType<T>,
  secret = false,
): Setting<T> {
  return {
    name,
    get schema() {
      return make();
    },
    default: fallback,
    unit,
    help,
    secret,
  };
}

interface Bounds {
  readonly unit: string;
  readonly min?: number;
  readonly max?: number;
}

/** A whole number within bounds; a size or a duration, by its unit, may have a suffix (10GB, 7d). */
export function integer(spec: Row & Bounds & { default: number }): Setting<number> {
  return row(spec, writtenMeasure(spec.default, spec.unit), spec.unit, () => whole(spec));
}

/** The same, that may be absent. */
export function optionalInteger(spec: Row & Bounds): Setting<number | undefined> {
  return row(spec, null, spec.unit, () => whole(spec).optional());
}

function whole({ unit, min = 0, max = Number.MAX_SAFE_INTEGER }: Bounds): z.ZodType<number> {
  const range =
    max === Number.MAX_SAFE_INTEGER
      ? `a whole number, ${min} or more`
      : `a whole number from ${min} to ${max}`;
  const such = suchAs(unit);
  const wanted = such === undefined ? range : `${range} (${unit}), or ${such}`;
  return z
    .string()
    .transform((said) => readMeasure(said, unit))
    .refine((n) => Number.isSafeInteger(n) && n >= min && n <= max, wanted);
}

/** A number that may have a fraction, 0 or more. */
export function decimal(spec: Row & { default: number; unit: string }): Setting<number> {
  const wanted = "a number such as 0, 2.5 or 100";
  return row(spec, String(spec.default), spec.unit, () =>
    z
      .string()
      .regex(/^\d+(\.\d+)?$/, wanted)
      .transform(Number)
      .refine(Number.isFinite, wanted),
  );
}

/** 1 / 0, and what people write for them. */
export function flag(spec: Row & { default: boolean }): Setting<boolean> {
  return row(spec, spec.default ? "1" : "0", "0 or 1", () =>
    z
      .string()
      .toLowerCase()
      .refine((s) => ["0", "1", "true", "false", "yes", "no", "on", "off"].includes(s), "0 or 1")
      .transform((s) => ["1", "true", "yes", "on"].includes(s)),
  );
}

/** One of a few words; upper and lower case are the same. `others`: what other programs call them. */
export function oneOf<const W extends readonly string[]>(
  spec: Row & { default: W[number]; words: W; others?: Readonly<Record<string, W[number]>> },
): Setting<W[number]> {
  const { words, others = {} } = spec;
  return row(spec, spec.default, words.join(" | "), () =>
    z
      .string()
      .transform(
        (s) => words.find((w) => w.toLowerCase() === s.toLowerCase()) ?? others[s.toLowerCase()] ?? s,
      )
      .refine((s) => words.includes(s), `one of ${words.join(", ")}`),
  );
}

export function string(
  spec: Row & { default: string; unit?: string; check?: z.ZodType<string> },
): Setting<string> {
  return row(spec, spec.default, spec.unit ?? "text", () => spec.check ?? z.string());
}

/** Text that may be absent. */
export function optionalString(
  spec: Row & { unit?: string; secret?: boolean; check?: z.ZodType<string> },
): Setting<string | undefined> {
  return row(spec, null, spec.unit ?? "text", () => (spec.check ?? z.string()).optional(), spec.secret);
}

/** A URL with one of the given schemes; a password in it is masked wherever it is printed. */
export function urlOf(schemes: readonly string[]): z.ZodType<string> {
  const begins = new RegExp(`^(?:${schemes.join("|").replaceAll("+", "\\+")}):`, "i");
  return z
    .string()
    .refine((s) => begins.test(s), `a URL that begins with ${schemes.map((s) => `${s}://`).join(" or ")}`)
    .refine(
      (s) => !begins.test(s) || (URL.canParse(s) && new URL(s).hash === ""),
      "a URL with a host, and a port of at most 65535; in user and password / ? # are written as %2F %3F %23",
    )
    .refine(inUrl(isDecodable), "a URL in which every % of user and password begins a code such as %2F");
}

/** Where to listen. @param such examples, for who wrote something else */
export function listenAt(such: string): z.ZodType<string> {
  return z.string().refine((said) => parseListen(said) !== undefined, `host:port, such as ${such}`);
}

/** A check of what is a URL; for what is none, another is. */
export function inUrl(check: (url: URL) => boolean): (said: string) => boolean {
  return (said) => !URL.canParse(said) || check(new URL(said));
}

function isDecodable({ username, password }: URL): boolean {
  return !/%(?![0-9a-f]{2})/i.test(`${username}:${password}`);
}
