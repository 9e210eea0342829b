/**
 * Scrubbing takes what looks like a secret out of text that is not JSON: what follows a word that names a secret (and
 * the same characters wherever else they stand), and whatever begins with "tok-", as the registry's tokens do.
 */
import { partTokens, tokenStart, wholeTokens } from "../core/token.ts";
import { namesSecret, secretSign } from "./secret-names.ts";

export const blank = "***";
/** In place of a token that the registry issued: what it was can be seen. */
export const blankToken = `${tokenStart}${blank}`;
/** A shorter secret is blanked where it is presented, but not searched for elsewhere: innocent text would match. */
export const secretCharsSearched = 8;
/** How many secrets of one message are searched for elsewhere. */
export const secretsMax = 16;

const name = `(?:${secretSign.source})[\\w-]{0,32}`;
/**
 * A whole JSON string, even one that is cut off. Text without such quotes is left to `namedValue`: three characters
 * or more, of which the first is not "=", because base64 may spell "pwd" by chance and end with "==".
 */
const quotedValue = new RegExp(`(${name}"\\s*:\\s*")((?:[^"\\\\]|\\\\.)+)`, "gi");
const namedValue = new RegExp(
  `(${name}[\\\\"'\\s]{0,8}[:=>][\\\\"'\\s[]{0,8}(?:(?:bearer|basic)\\s+)?|(?:provision[_-]?token|bearer)\\s+)([^\\\\"'\\s<>,;&}\\]=][^\\\\"'\\s<>,;&}\\]]{2,})`,
  "gi",
);

/** A printable ASCII character written as an escape: the only reason to write it so is to hide a name. */
export const escapedAscii = /\\u00[2-7]/i;

export function scrub(text: string): string {
  return scrubbed(text).text;
}

/** As `scrub`, with the secrets that the text names: see `namedIn`. */
export function scrubbed(text: string): { readonly text: string; readonly named: readonly string[] } {
  const plain = escapedAscii.test(text) ? spellOut(text) : text;
  if (!isSuspect(plain)) return { text: plain, named: [] };
  const out = plain
    .replace(quotedValue, `$1${blank}`)
    .replace(namedValue, `$1${blank}`)
    .replace(partTokens, blankToken);
  const named = valuesIn(plain);
  return { text: hide(out, named), named };
}

/** The secrets that text which is not JSON names. */
export function namedIn(text: string): readonly string[] {
  const plain = escapedAscii.test(text) ? spellOut(text) : text;
  return isSuspect(plain) ? valuesIn(plain) : [];
}

/** What stands between a name and its value; text without it names no secret. */
const between = /[:=>]|(?:token|bearer)\s|tok-/i;

/** Whatever words stand in it, text without any of what is `between` holds nothing to be blanked. Quicker, and true of less, than that. */
export function holdsNone(plain: string): boolean {
  return !(
    plain.includes(":") ||
    plain.includes("=") ||
    plain.includes(">") ||
    /tok[e-]|bearer/i.test(plain)
  );
}

function isSuspect(plain: string): boolean {
  return between.test(plain) && (namesSecret(plain) || /bearer|tok-/i.test(plain));
}

function valuesIn(plain: string): string[] {
  const found = [quotedValue, namedValue].flatMap((value) =>
    [...plain.matchAll(value)].flatMap(([, , written = ""]) => [written, ...unescaped(written)]),
  );
  return found.filter(({ length }) => length >= secretCharsSearched).slice(0, secretsMax);
}

/** The unescaped form of a quoted value, since that form may stand elsewhere. */
function unescaped(written: string): string[] {
  if (!written.includes("\\")) return [];
  try {
    return [String(JSON.parse(`"${written}"`))];
  } catch {
    return [];
  }
}

/** Blanks these secrets, and any token that the registry issued, in text for people (a topic, a detail). */
export function hide(text: string, secrets: readonly string[]): string {
  let shown = text;
  for (const secret of secrets) {
    if (secret.length < secretCharsSearched) continue;
    shown = shown.replaceAll(secret, blank);
    const written = JSON.stringify(secret).slice(1, -1);
    if (written !== secret) shown = shown.replaceAll(written, blank);
  }
  return shown.includes(tokenStart) ? shown.replace(wholeTokens, blankToken) : shown;
}

/**
 * Writes escaped characters plainly, and those that need an escape as JSON.stringify writes them; the JSON value
 * stays the same.
 */
export function spellOut(line: string): string {
  return line.replace(
    /\\(?:u([0-9a-f]{4})|(.))/gi,
    (escape, hex: string | undefined, letter: string | undefined) => {
      if (hex === undefined) return letter === "/" ? "/" : escape;
      const unit = Number.parseInt(hex, 16);
      const char = String.fromCharCode(unit);
      return unit < 0x20 || unit === 0x22 || unit === 0x5c ? JSON.stringify(char).slice(1, -1) : char;
    },
  );
}

const lenient = new TextDecoder("utf-8");

/** Any bytes as text for people. */
export function readable(bytes: Uint8Array): string {
  return lenient.decode(bytes);
}

/**
 * UTF-16 that is read as UTF-8 has U+0000 between its characters, and U+FFFD for what is no UTF-8 in between; the search for secrets must
 * see what it spells.
 */
export function legible(text: string): string {
  if (!text.includes("\0")) return text;
  const spelled = text.replaceAll(/[\0\ufffd]/g, "");
  return namesSecret(spelled) || spelled.includes(tokenStart) ? spelled : text;
}

/**
 * Wraps a payload that is no JSON object in one: the scrubbed text as `_raw`, and the full length as `_bytes` if the
 * text is only the beginning.
 */
export function wrapRaw(text: string, bytes?: number): string {
  const shown = scrub(legible(text)).replaceAll("\0", "\uFFFD").toWellFormed();
  return JSON.stringify(bytes === undefined ? { _raw: shown } : { _raw: shown, _bytes: bytes });
}

/** The text in such an object, and its full length if there was more of it; the payload itself if it is none. */
export function unwrapRaw(payload: string): { readonly text: string; readonly wholeBytes?: number } {
  if (!payload.startsWith('{"_raw":')) return { text: payload };
  const { _raw: raw, _bytes: bytes, ...rest } = JSON.parse(payload) as Record<string, unknown>;
  if (typeof raw !== "string" || Object.keys(rest).length > 0) return { text: payload };
  return Number.isInteger(bytes) && Number(bytes) > 0
    ? { text: raw, wholeBytes: Number(bytes) }
    : { text: raw };
}
