/**
 * Redaction takes tokens and other secrets out of everything that is kept of a message, before the spool sees it.
 *
 * Secrets are cut out of the device's own text. Rejected alternative: to write the parsed value anew, because that
 * changes digits (1.0 becomes 1), and a secret behind a duplicate key is not in the parsed value but would stay in a
 * reject's bytes. The usual message, with one "provision_token" and no other secret, costs two slices.
 */
import { isObject } from "../core/text/is-object.ts";
import { parseExactly } from "../core/text/json-digits.ts";
import { tokenStart, wholeTokens } from "../core/token.ts";
import { endOfString, endOfValue, skeletonOf, skipBlank } from "../core/text/json-scan.ts";
import { tokenOf } from "./authorize.ts";
import {
  blank,
  blankToken,
  escapedAscii,
  legible,
  readable,
  scrub,
  scrubbed,
  secretCharsSearched,
  holdsNone,
  secretsMax,
  spellOut,
} from "./scrub.ts";
import { isSecret, namesSecret, secrecyOf } from "./secret-names.ts";

const usualName = '"provision_token"';
/** How many strings of a reject's payload that may name a secret are looked at. */
const looksMax = 32;
const urlSafe = /^[\w.~+=:-]*$/;

/**
 * Returns valid JSON as one line without secrets: "***" replaces every value under a name that names a secret, at any
 * depth and however it is written, and every string that holds one of these values, `token`, or a token that the
 * registry issued. All other characters stay as they were; raw line breaks, which valid JSON has only between its
 * parts, become spaces.
 * @param names whether a text may name a secret; of what is rejected: mayNameSecret
 */
export function redact(text: string, token: string | undefined, names: Names = namesSecret): string {
  const { line, found, isAll } = blankNamed(text, token, names);
  if (isAll) return line;
  const shown = token === undefined ? found : [token, ...found];
  const secrets = shown.filter(({ length }) => length >= secretCharsSearched).map(hiddenAs);
  // Tokens that the payload holds but did not present: under an innocent name, for example, or another device's.
  return blankInStrings(line, [...secrets, issued]);
}

/**
 * The secrets that valid JSON names besides `token`, to be blanked wherever else they stand (a topic, a detail). Only
 * the first members are looked at: this runs for every reject, and a stranger may send as many members as fit into a
 * payload.
 */
export function secretsIn(text: string, token: string | undefined): readonly string[] {
  const { found } = blankNamed(text, token, namesSecret, looksMax);
  return token === undefined ? found : [token, ...found];
}

/** What is blanked within strings. */
interface Hidden {
  /** No string without it is looked at. */
  readonly sign: string;
  readonly written: string | RegExp;
  readonly instead: string;
}

const issued: Hidden = { sign: tokenStart, written: wholeTokens, instead: blankToken };

/** As it is written in JSON. */
function hiddenAs(secret: string): Hidden {
  const written = urlSafe.test(secret) ? secret : JSON.stringify(secret).slice(1, -1);
  return { sign: written, written, instead: blank };
}

interface Blanked {
  readonly line: string;
  /** The secrets that were blanked, except the token that the message presented. */
  readonly found: readonly string[];
  /** No secret stands anywhere else. */
  readonly isAll: boolean;
}

const none: readonly string[] = [];

type Names = (text: string) => boolean;

function blankNamed(
  text: string,
  token: string | undefined,
  names: Names,
  most = Number.POSITIVE_INFINITY,
): Blanked {
  const written = text.includes("\n") || text.includes("\r") ? text.replace(/[\r\n]/g, " ") : text;
  const found = usualValue(written, names);
  const line = mayHide(written, found, token) ? spellOut(written) : written;
  const usual = line === written ? found : usualValue(line, names);
  if (usual === null) return blankEveryNamed(line, names, most);
  if (usual === undefined) return { line, found: none, isAll: false };
  const { from, to } = usual;
  const blanked = `${line.slice(0, from)}${blank}${line.slice(to)}`;
  if (token !== undefined && isOnly(token, line, usual)) return { line: blanked, found: none, isAll: true };
  // A token is presented only at the top level; a provision_token further down is a secret all the same.
  const value = line.slice(from, to);
  return { line: blanked, found: value === token ? none : [value], isAll: false };
}

/** Is it the token that stands there, and does no token, so not this one either, begin anywhere else? */
function isOnly(token: string, line: string, { from, to }: Place): boolean {
  return line.startsWith(token, from) && line.indexOf(tokenStart) === from && !line.includes(tokenStart, to);
}

/** A name or a secret may hide behind escapes. */
function mayHide(line: string, usual: Usual, token: string | undefined): boolean {
  if (!line.includes("\\")) return false;
  return usual === null || (token !== undefined && !urlSafe.test(token)) || escapedAscii.test(line);
}

interface Place {
  readonly from: number;
  readonly to: number;
}

/** Where the value of the only provision_token stands. undefined: the line names no secret. null: a closer look is needed. */
type Usual = Place | undefined | null;

function usualValue(line: string, names: Names): Usual {
  const mayName = (part: string) => names(withoutLongStrings(part));
  const start = line.indexOf(usualName);
  if (start < 0) return mayName(line) ? null : undefined;
  if (mayName(line.slice(0, start))) return null;
  const colon = skipBlank(line, start + usualName.length);
  const open = skipBlank(line, colon + 1);
  if (line.charAt(colon) !== ":" || line.charAt(open) !== '"') return null;
  const [from, to] = [open + 1, endOfString(line, open) - 1];
  return line.slice(from, to).includes("\\") || mayName(line.slice(to + 1)) ? null : { from, to };
}

/** Of a part of a line, which begins and ends outside of strings: those that cannot hold a secret. */
function withoutLongStrings(part: string): string {
  return part.includes("\\") ? part : skeletonOf(part, holdsNone);
}

/** @param most how many strings that may name a secret are looked at */
function blankEveryNamed(text: string, names: Names, most: number): Blanked {
  const found: string[] = [];
  let looked = 0;
  let out = "";
  let kept = 0;
  for (let open = text.indexOf('"'); open >= 0; open = text.indexOf('"', open)) {
    const end = endOfString(text, open);
    const string = text.slice(open, end);
    if (!names(string)) {
      out += text.slice(kept, end);
      kept = open = end;
      continue;
    }
    if (looked++ >= most) break;
    const colon = skipBlank(text, end);
    const secrecy = text.charAt(colon) === ":" ? secrecyOf(string) : "none";
    const from = skipBlank(text, colon + 1);
    const to = secrecy === "none" ? from : endOfValue(text, from);
    const value = text.slice(from, to);
    if (isSecret(secrecy, value)) {
      if (secrecy !== "about") note(found, value);
      out += `${text.slice(kept, from)}"${blank}"`;
      kept = open = to;
    } else {
      out += text.slice(kept, open) + scrubString(string, found);
      kept = open = end;
    }
  }
  return { line: out + text.slice(kept), found, isAll: false };
}

/**
 * Notes what must be searched for elsewhere: the strings of a value, without the scheme of an Authorization header. A
 * name that only mentions a secret does not count: `"token_type": "telemetry"` is no reason to blank the word
 * telemetry.
 */
function note(found: string[], value: string): void {
  for (const string of stringsOf(parseExactly(value))) {
    const secret = string.replace(/^(?:bearer|basic)\s+/i, "");
    if (secret.length >= secretCharsSearched && secret !== blank && found.length < secretsMax)
      found.push(secret);
  }
}

function stringsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value === "number" || typeof value === "bigint") return [String(value)];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(stringsOf) : [];
}

/**
 * Scrubs a JSON string that mentions a secret; it may be JSON within JSON. If there is nothing to blank, its spelling
 * stays.
 */
function scrubString(string: string, found: string[]): string {
  const { text, named } = scrubbed(String(JSON.parse(string)));
  if (!text.includes(blank)) return string;
  for (const secret of named) if (found.length < secretsMax) found.push(secret);
  return JSON.stringify(text);
}

/**
 * Blanks only within strings: a token of digits must not break a number in two. The strings are gone through once for all that is hidden,
 * and as far as any of it stands in them: once for each took a second for a payload of 1 MB with sixteen secrets and many strings.
 */
function blankInStrings(text: string, hidden: readonly Hidden[]): string {
  const next = nextOf(text, hidden);
  let [out, kept, at] = ["", 0, next(0)];
  for (let open = text.indexOf('"'); open >= 0 && at < text.length;) {
    const end = endOfString(text, open);
    if (at < open) at = next(open);
    if (at < end) {
      const string = text.slice(open, end);
      out += text.slice(kept, open) + hidden.reduce(hiddenIn, string);
      kept = end;
    }
    open = text.indexOf('"', end);
  }
  return kept === 0 ? text : out + text.slice(kept);
}

/** Where, from a place on that is never before the last one, the first sign of any of these stands; Infinity: nowhere. */
function nextOf(text: string, hidden: readonly Hidden[]): (from: number) => number {
  const places = hidden.map(() => -1);
  return (from) => {
    let nearest = Number.POSITIVE_INFINITY;
    for (const [i, { sign }] of hidden.entries()) {
      if ((places[i] ?? 0) < from) places[i] = placeOf(text, sign, from);
      nearest = Math.min(nearest, places[i] ?? 0);
    }
    return nearest;
  };
}

function placeOf(text: string, sign: string, from: number): number {
  const at = text.indexOf(sign, from);
  return at < 0 ? Number.POSITIVE_INFINITY : at;
}

/**
 * If the match began within an escape (the "t" of "\t"), the rest would not be JSON: then the whole string is
 * blanked.
 */
function hiddenIn(string: string, { written, instead }: Hidden): string {
  const hidden = string.replaceAll(written, instead);
  if (hidden === string) return string;
  try {
    JSON.parse(hidden);
    return hidden;
  } catch {
    return `"${blank}"`;
  }
}

const utf8 = new TextEncoder();

/** A payload as it may be passed on to others than the judge: the same bytes if nothing in it looks like a secret. */
export function withoutTokens(payload: Uint8Array): Uint8Array {
  const text = readable(payload);
  const isSuspect = namesSecret(text) || escapedAscii.test(text) || /tok-|\0/.test(text);
  return isSuspect ? utf8.encode(passedOn(text)) : payload;
}

function passedOn(text: string): string {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return scrub(legible(text));
  }
  return redact(text, isObject(body) ? tokenOf(body) : undefined);
}
