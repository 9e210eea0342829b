/**
 * JSON as devices write it, good and bad: a document is built from parts that keep their order, their duplicate keys and their spelling,
 * and written with whatever blanks and escapes chance chooses. JSON.stringify could make none of that.
 */
import type { Random } from "../../src/simulator/random.ts";

/** A value with this literal spelling, such as 1e999 or NaN. */
export interface Raw {
  readonly raw: string;
}
export type Pair = [key: string, value: Value];
export type Value = string | number | boolean | null | Raw | Value[] | { readonly pairs: Pair[] };

export const raw = (text: string): Raw => ({ raw: text });
export const object = (...pairs: Pair[]): { readonly pairs: Pair[] } => ({ pairs });

export interface Style {
  /** The probability of blanks between parts, and of an escape that is not needed. */
  readonly blanks: number;
  readonly escapes: number;
}

export const plainStyle: Style = { blanks: 0, escapes: 0 };
const blanks = [" ", "  ", "\t", "\n", "\r\n", "\r"] as const;

export function write(value: Value, style: Style, chance: Random): string {
  const gap = () => (style.blanks > 0 && chance.next() < style.blanks ? chance.pick(blanks) : "");
  const text = (string: string) => quoted(string, style.escapes, chance);
  const inner = (of: Value): string => {
    if (of === null || typeof of === "boolean") return String(of);
    if (typeof of === "number") return JSON.stringify(of);
    if (typeof of === "string") return text(of);
    if (Array.isArray(of)) return `[${of.map((each) => gap() + inner(each) + gap()).join(",")}]`;
    if ("raw" in of) return of.raw;
    const pairs = of.pairs.map(
      ([key, each]) => `${gap()}${text(key)}${gap()}:${gap()}${inner(each)}${gap()}`,
    );
    return `{${pairs.join(",")}}`;
  };
  return gap() + inner(value) + gap();
}

function quoted(string: string, escapes: number, chance: Random): string {
  const usual = JSON.stringify(string);
  if (escapes === 0) return usual;
  let out = '"';
  for (let at = 0; at < string.length; at++) {
    const unit = string.charCodeAt(at);
    const must = JSON.stringify(string.charAt(at)).length > 3;
    if (must || chance.next() < escapes) out += escaped(unit, chance);
    else out += string.charAt(at);
  }
  return `${out}"`;
}

const short: Readonly<Record<number, string>> = {
  8: "\\b",
  9: "\\t",
  10: "\\n",
  12: "\\f",
  13: "\\r",
  34: '\\"',
  47: "\\/",
  92: "\\\\",
};

function escaped(unit: number, chance: Random): string {
  const letter = short[unit];
  if (letter !== undefined && chance.next() < 0.5) return letter;
  const hex = unit.toString(16).padStart(4, "0");
  return `\\u${chance.next() < 0.5 ? hex : hex.toUpperCase()}`;
}
