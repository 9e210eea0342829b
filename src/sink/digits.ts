/**
 * Numbers beyond 2^53, of which a parsed payload has lost digits: as the device wrote them.
 */
import type { Entry } from "../core/entry.ts";

export const isInt64 = (digits: string) =>
  /^-?\d{1,20}$/.test(digits) && BigInt.asIntN(64, BigInt(digits)) === BigInt(digits);

export const isWhole = (entry: Entry, name: string, value: number) =>
  Number.isSafeInteger(value) || (Number.isInteger(value) && isInt64(sourceOf(entry, name)));

/** A whole number as the device wrote it, digit by digit, is what the double holds. */
export function isExact(entry: Entry, name: string, value: number): boolean {
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return true;
  const digits = sourceOf(entry, name);
  return !/^-?\d+$/.test(digits) || BigInt(digits) === BigInt(value);
}

type Reviver = (this: unknown, key: string, value: unknown) => unknown;

/** A metric's digits as the device wrote them: a double has lost some beyond 2^53. */
export function sourceOf(entry: Entry, name: string): string {
  const { metrics } = JSON.parse(entry.payload, asWritten as Reviver) as { metrics: Record<string, unknown> };
  return String(metrics[name]);
}

function asWritten(_: string, value: unknown, at: { source: string }): unknown {
  return typeof value === "number" ? at.source : value;
}
