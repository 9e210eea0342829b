/**
 * Finds valid JSON that PostgreSQL cannot hold as jsonb. It must be rejected here: as an event it would be refused
 * with every batch it comes back in.
 *
 * The text is searched and not the parsed value, because PostgreSQL parses all of the text, including what a
 * duplicate key hides. Four quick searches clear nearly every message; only a suspect text is walked through.
 */
import { endOfString } from "./scan.ts";

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
const largeExponent = /\d[eE][+-]?\d{4}/;
const numberAt = /-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/y;

/** Names what PostgreSQL cannot hold in `text` (valid JSON); null if it can hold all of it. */
export function unstorable(text: string): string | null {
  return isSuspect(text) ? walk(text) : null;
}

function isSuspect(text: string): boolean {
  return (
    text.includes("\\u") ||
    text.length > safeTextChars ||
    largeExponent.test(text) ||
    occursOften(text, "{") ||
    occursOften(text, "[")
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

function walk(text: string): string | null {
  let depth = 0;
  for (let at = 0; at < text.length;) {
    const char = text.charAt(at);
    let why: string | null = null;
    if (char === '"') {
      const end = endOfString(text, at);
      why = badEscape(text, at, end);
      at = end;
    } else if (char === "-" || (char >= "0" && char <= "9")) {
      numberAt.lastIndex = at;
      const found = numberAt.exec(text);
      why = badNumber(found?.[1] ?? "", found?.[2] ?? "", Number(found?.[3] ?? 0));
      at += found?.[0].length ?? 1;
    } else {
      if (char === "{" || char === "[") depth++;
      if (char === "}" || char === "]") depth--;
      at++;
    }
    if (depth > nestingMax) return `nested deeper than ${nestingMax} levels`;
    if (why !== null) return why;
  }
  return null;
}

function badNumber(integer: string, fraction: string, exponent: number): string | null {
  const fits =
    integer.length + exponent <= integerDigitsMax && fraction.length - exponent <= fractionDigitsMax;
  return fits ? null : "a number beyond what PostgreSQL's numeric holds";
}

/** Finds \u0000 or half of a surrogate pair. Only escapes can spell a half: the text came as valid UTF-8. */
function badEscape(text: string, open: number, end: number): string | null {
  for (let at = text.indexOf("\\", open); at >= 0 && at < end; at = text.indexOf("\\", at)) {
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
