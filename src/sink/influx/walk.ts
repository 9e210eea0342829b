/** The characters of a payload, and its names as they stand in it. How to step over its values: core/text/json-scan.ts. */
import { quote } from "../../core/text/json-scan.ts";

export const space = 32;
export const comma = 44;
export const minus = 45;
export const dot = 46;
export const zero = 48;
export const nine = 57;
export const backslash = 92;
export const small = { f: 102, i: 105, n: 110, t: 116 };
export const open = 123;
export const close = 125;

export const isDigit = (char: number): boolean => char >= zero && char <= nine;

/** Does this name stand there? One with escapes never does. */
export function isAt(text: string, from: number, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) if (text.charCodeAt(from + i) !== name.charCodeAt(i)) return false;
  return text.charCodeAt(from + name.length) === quote;
}

/** The index of the quote that ends a name; -1 if it has escapes: it is left to encodeLine. */
export function endOf(text: string, from: number): number {
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === quote) return i;
    if (c === backslash) return -1;
  }
  return -1;
}
