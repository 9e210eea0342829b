/**
 * Numbers beyond 2^53, of which a parsed payload has lost digits: as the device wrote them.
 */
import type { Entry } from "../../core/entry.ts";
import { parseDigits } from "../../core/text/json-digits.ts";

export const isInt64 = (digits: string) =>
  /^-?\d{1,20}$/.test(digits) && BigInt.asIntN(64, BigInt(digits)) === BigInt(digits);

export const isWhole = (entry: Entry, name: string, value: number) =>
  Number.isSafeInteger(value) || (Number.isInteger(value) && isInt64(sourceOf(entry, name)));

/**
 * Is a number beyond 2^53 what the device wrote, in whichever form? 2^60 is, to the last digit. So is 1e23, although the double
 * is not quite 10^23, for it reads back as 1e23. 9007199254740993.0 is not: it reads back as 9007199254740992.
 */
export function isExact(entry: Entry, name: string, value: number): boolean {
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return true;
  const written = decimal(sourceOf(entry, name));
  return [String(value), String(BigInt(value))].some((kept) => decimal(kept) === written);
}

/** A number in the one form that all its spellings share: its significant digits as a whole number, and a power of ten. */
function decimal(text: string): string {
  const [mantissa = "", power = "0"] = text.toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  const digits = (whole + fraction).replace(/^(-?)0+/, "$1");
  let end = digits.length;
  while (digits[end - 1] === "0") end -= 1;
  return `${digits.slice(0, end)}e${Number(power) - fraction.length + digits.length - end}`;
}

/** A metric's digits as the device wrote them: a double has lost some beyond 2^53. */
export function sourceOf(entry: Entry, name: string): string {
  const asWritten = parseDigits(entry.payload, (_, digits) => digits);
  return String((asWritten as { metrics: Record<string, unknown> }).metrics[name]);
}
