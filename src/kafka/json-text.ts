/**
 * Steps from member to member of JSON text that is known to be valid: so numbers are passed on digit by digit (1.0 stays 1.0, 2^60
 * keeps its digits), which a parse would change.
 */
import { endOfString, endOfValue, quote, skipBlank } from "../core/text/json-scan.ts";

/** As char codes. */
export const sign = {
  comma: 44,
  openList: 91,
  closeList: 93,
  n: 110,
  open: 123,
  close: 125,
} as const;

/** Where the first name of an object begins that opens at or behind `from`; 0: it is empty. */
export function begin(text: string, from: number): number {
  const at = skipBlank(text, text.indexOf("{", from) + 1);
  return text.charCodeAt(at) === quote ? at : 0;
}

/** Where the next name begins, from the sign behind a value; 0: the object ends. */
export function next(text: string, from: number): number {
  const at = skipBlank(text, from);
  return text.charCodeAt(at) === sign.comma ? skipBlank(text, at + 1) : 0;
}

/** Does this stand there, letter by letter? For something so short that is faster than the engine's own search. */
export function standsAt(text: string, from: number, short: string): boolean {
  for (let i = 0; i < short.length; i += 1)
    if (text.charCodeAt(from + i) !== short.charCodeAt(i)) return false;
  return true;
}

/** A name that is written with escapes is compared as what it says. */
export function isNamed(text: string, from: number, end: number, name: string): boolean {
  if (end - from === name.length + 2) return standsAt(text, from + 1, name);
  const raw = text.slice(from, end);
  return raw.includes("\\") && JSON.parse(raw) === name;
}

/** The text of each element of the list that opens at `from`. */
export function elementsOf(text: string, from: number): string[] {
  const elements: string[] = [];
  let at = skipBlank(text, from + 1);
  while (at < text.length && text.charCodeAt(at) !== sign.closeList) {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipBlank(text, end);
    if (text.charCodeAt(at) === sign.comma) at = skipBlank(text, at + 1);
  }
  return elements;
}

/** Where the value of a member of the object begins, the last of that name; -1: it has none. */
export function valueAt(text: string, name: string): number {
  let found = -1;
  for (let i = begin(text, 0); i > 0;) {
    const end = endOfString(text, i);
    const from = skipBlank(text, text.indexOf(":", end) + 1);
    if (isNamed(text, i, end, name)) found = from;
    i = next(text, skipBlank(text, endOfValue(text, from)));
  }
  return found;
}
