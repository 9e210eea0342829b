/**
 * Valid JSON that PostgreSQL cannot hold as jsonb. Such text must be refused here: as an event it would be a poison that
 * comes back with every batch.
 *
 * The text is searched and not the parsed value, because PostgreSQL parses all of it, also what a duplicate key hides.
 * Nearly every message is cleared by four quick searches; only a suspect is walked.
 */
import { endOfString } from "./scan.ts";

/** PostgreSQL recurses a level at a time and gives up by its stack (SQLSTATE 54001); no device needs as much as this. */
export const nestingMax = 64;
/** numeric: up to 131,072 digits before the decimal point and 16,383 after it (PostgreSQL documentation, 8.1.2). */
const integerDigitsMax = 131_072;
const fractionDigitsMax = 16_383;
/** Shorter text with exponents under four digits is within both, whatever it says. */
const safeTextChars = 15_000;
const largeExponent = /\d[eE][+-]?\d{4}/;
const numberAt = /-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/y;

/** What in `text` (valid JSON) PostgreSQL cannot hold; null where nothing. */
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

/** More than half of nestingMax times: both brackets together then may nest too deep. */
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

/** \u0000, or half of a surrogate pair. Halves cannot stand in the text unescaped: it came as valid UTF-8. */
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

/** The UTF-16 unit that the escape at `at` stands for; NaN where there is no such escape. */
function unitAt(text: string, at: number): number {
  return text.startsWith("\\u", at) ? Number.parseInt(text.slice(at + 2, at + 6), 16) : Number.NaN;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
