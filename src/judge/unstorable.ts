/**
 * Finds valid JSON that PostgreSQL cannot hold as jsonb. It must be rejected here: as an event it would be refused
 * with every batch it comes back in.
 *
 * The text is searched and not the parsed value, because PostgreSQL parses all of the text, including what a
 * duplicate key hides. A few quick searches clear nearly every message; only a suspect text is walked through.
 */
import { endOfString, quote, skeletonOf } from "../core/text/json-scan.ts";

/**
 * PostgreSQL recurses once per level, and errors when its stack is exhausted (SQLSTATE 54001); no device needs this
 * many levels.
 */
export const nestingMax = 64;
/**
 * PostgreSQL's numeric has up to 131,072 digits before the decimal point and 16,383 after it (PostgreSQL
 * documentation, 8.1.2).
 */
const integerDigitsMax = 131_072;
const fractionDigitsMax = 16_383;
/** Text shorter than this, with exponents under four digits, is within both bounds, whatever it says. */
const safeTextChars = 15_000;
/** A shorter number has no exponent of four digits. */
const shortNumberChars = 6;
const largeExponent = /\d[eE][+-]?\d{4}/;
const numberParts = /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/;
/** U+0000 or a surrogate, if the backslash is not escaped itself. */
const suspectEscape = /\\u(?:0000|d[89a-f])/i;

const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Names what PostgreSQL cannot hold in `text` (valid JSON); null if it can hold all of it. */
export function unstorable(text: string): string | null {
  return (holdsSuspectEscape(text) ? badEscape(text) : null) ?? (isSuspect(text) ? walk(text) : null);
}

/** The plain search first: it is quick in text that is full of backslashes, too. */
function holdsSuspectEscape(text: string): boolean {
  return text.includes("\\u") && suspectEscape.test(text);
}

/** Exponents last: they are looked for one character at a time, and whoever has many brackets is walked through all the same. */
function isSuspect(text: string): boolean {
  return (
    text.length > safeTextChars ||
    occursOften(text, "{") ||
    occursOften(text, "[") ||
    largeExponent.test(skeletonOf(text))
  );
}

/** True if the bracket occurs more than nestingMax / 2 times: both kinds together may then nest too deep. */
function occursOften(text: string, bracket: string): boolean {
  let at = -1;
  for (let found = 0; found <= nestingMax / 2; found++) {
    at = text.indexOf(bracket, at + 1);
    if (at < 0) return false;
  }
  return true;
}

/** By character codes: an array of a hundred small objects comes here, and is no suspect in the end. */
function walk(text: string): string | null {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === quote) at = endOfString(text, at) - 1;
    else if (unit === openBrace || unit === openBracket) {
      if (++depth > nestingMax) return `nested deeper than ${nestingMax} levels`;
    } else if (unit === closeBrace || unit === closeBracket) depth--;
    else if (isDigit(unit)) {
      const end = endOfNumber(text, at);
      const why = end - at < shortNumberChars ? null : badNumber(text.slice(at, end));
      if (why !== null) return why;
      at = end - 1;
    }
  }
  return null;
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

/** Behind the digits, point, exponent and signs from `start` on. */
function endOfNumber(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && isOfNumber(text.charCodeAt(at))) at++;
  return at;
}

function isOfNumber(unit: number): boolean {
  return isDigit(unit) || unit === 0x2e || unit === 0x65 || unit === 0x45 || unit === 0x2b || unit === 0x2d;
}

/** @param number without its sign */
function badNumber(number: string): string | null {
  const [, integer = "", fraction = "", power] = numberParts.exec(number) ?? [];
  const exponent = Number(power ?? 0);
  const fits =
    integer.length + exponent <= integerDigitsMax && fraction.length - exponent <= fractionDigitsMax;
  return fits ? null : "a number beyond what PostgreSQL's numeric holds";
}

/**
 * Finds \u0000 or half of a surrogate pair. Only escapes can spell a half, for the text came as valid UTF-8, and only strings have
 * escapes, for it is valid JSON.
 */
function badEscape(text: string): string | null {
  for (let at = text.indexOf("\\"); at >= 0; at = text.indexOf("\\", at)) {
    if (text.charAt(at + 1) !== "u") {
      at += 2;
      continue;
    }
    const unit = unitAt(text, at);
    if (unit === 0) return "text with \\u0000";
    const pairs = isHigh(unit) && isLow(unitAt(text, at + 6));
    if (!pairs && (isHigh(unit) || isLow(unit))) return "text with half of a surrogate pair";
    at += pairs ? 12 : 6;
  }
  return null;
}

/** The UTF-16 unit of the escape at `at`; NaN if there is no such escape. */
function unitAt(text: string, at: number): number {
  return text.startsWith("\\u", at) ? Number.parseInt(text.slice(at + 2, at + 6), 16) : Number.NaN;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
