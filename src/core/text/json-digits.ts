/** JSON with the digits of its numbers as they are written, of which a double keeps some sixteen. The types know neither of the two yet. */
import { isObject } from "./is-object.ts";

/** Parses a text; each of its numbers becomes what `make` makes of it and of its digits. */
export function parseDigits(text: string, make: (value: number, digits: string) => unknown): unknown {
  const revive = (_: string, value: unknown, { source }: { source: string }) =>
    typeof value === "number" ? make(value, source) : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

const longNumber = /(?:^|[[:,\s-])\d{16}/;

/** Parses a text; whole numbers beyond 2^53 keep all of their digits. */
export function parseExactly(text: string): unknown {
  return longNumber.test(text) ? parseDigits(text, exactly) : JSON.parse(text);
}

/** Parses a text that is written again: such a number is an object, which JSON.stringify writes with all of its digits. */
export function parseToPrint(text: string): unknown {
  const printed = (value: number, digits: string) => (isRounded(value) ? rawJson(digits) : value);
  return longNumber.test(text) ? parseDigits(text, printed) : JSON.parse(text);
}

/** The same as parseExactly, if one of these members is such a number: for the others' digits alone it would take ten times as long as JSON.parse does. */
export function parseNaming(text: string, names: readonly string[]): unknown {
  const value: unknown = JSON.parse(text);
  return isObject(value) && names.some((name) => isRounded(value[name])) ? parseDigits(text, exactly) : value;
}

function isRounded(value: unknown): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** A whole number beyond 2^53 with all its digits; what is no finite double stays none. @param digits as JSON spells it */
export function exactly(value: number, digits: string): number | bigint {
  return isRounded(value) && /^-?\d+$/.test(digits) ? BigInt(digits) : value;
}

/** What JSON.stringify writes as just this text, which must be that of a number, say. */
export const { rawJSON: rawJson, isRawJSON: isRawJson } = JSON as JSON & {
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): boolean;
};
