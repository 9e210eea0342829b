/** JSON with the digits of its numbers as they are written, of which a double keeps some sixteen. The types know neither of the two yet. */

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

/** A whole number beyond 2^53 with all its digits; what is no finite double stays none. @param digits as JSON spells it */
export function exactly(value: number, digits: string): number | bigint {
  const isRounded = Number.isFinite(value) && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(digits) ? BigInt(digits) : value;
}

/** What JSON.stringify writes as just this text, which must be that of a number, say. */
export const { rawJSON: rawJson } = JSON as JSON & { rawJSON(text: string): unknown };
