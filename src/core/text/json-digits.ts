/** JSON with the digits of its numbers as they are written, of which a double keeps some sixteen. The types know neither of the two yet. */

/** Parses a text; each of its numbers becomes what `make` makes of it and of its digits. */
export function parseDigits(text: string, make: (value: number, digits: string) => unknown): unknown {
  const revive = (_: string, value: unknown, { source }: { source: string }) =>
    typeof value === "number" ? make(value, source) : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

/** What JSON.stringify writes as just this text, which must be that of a number, say. */
export const { rawJSON: rawJson } = JSON as JSON & { rawJSON(text: string): unknown };
