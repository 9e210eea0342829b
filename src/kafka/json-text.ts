/**
 * Where names and values of JSON text begin and end, for text that is known to be valid: so numbers are passed on digit by digit (1.0
 * stays 1.0, 2^60 keeps its digits), which a parse would change.
 */

/** As char codes. */
export const sign = {
  space: 32,
  quote: 34,
  comma: 44,
  openList: 91,
  backslash: 92,
  closeList: 93,
  n: 110,
  open: 123,
  close: 125,
} as const;

/** Where the first name of an object begins that opens at or behind `from`; 0: it is empty. */
export function begin(text: string, from: number): number {
  const at = blanks(text, text.indexOf("{", from) + 1);
  return text.charCodeAt(at) === sign.quote ? at : 0;
}

/** Where the next name begins, from the sign behind a value; 0: the object ends. */
export function next(text: string, from: number): number {
  const at = blanks(text, from);
  return text.charCodeAt(at) === sign.comma ? blanks(text, at + 1) : 0;
}

export function blanks(text: string, from: number): number {
  let i = from;
  while (text.charCodeAt(i) <= sign.space) i += 1;
  return i;
}

/** Behind the quote that ends the text which begins with one at `from`. */
export function endOfText(text: string, from: number): number {
  // To look for the quote takes a fraction of the time that the signs take one by one.
  const quote = text.indexOf('"', from + 1);
  if (quote > 0 && text.charCodeAt(quote - 1) !== sign.backslash) return quote + 1;
  for (let i = from + 1; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === sign.quote) return i + 1;
    if (c === sign.backslash) i += 1;
  }
  return text.length;
}

/** Does this stand there, letter by letter? For something so short that is faster than the engine's own search. */
export function standsAt(text: string, from: number, short: string): boolean {
  for (let i = 0; i < short.length; i += 1)
    if (text.charCodeAt(from + i) !== short.charCodeAt(i)) return false;
  return true;
}

export function endOfValue(text: string, from: number): number {
  const first = text.charCodeAt(from);
  if (first === sign.quote) return endOfText(text, from);
  if (first === sign.open || first === sign.openList) return endOfNested(text, from);
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === sign.comma || c === sign.close || c === sign.closeList || c <= sign.space) return i;
  }
  return text.length;
}

function endOfNested(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === sign.quote) i = endOfText(text, i) - 1;
    else if (c === sign.open || c === sign.openList) depth += 1;
    else if ((c === sign.close || c === sign.closeList) && --depth === 0) return i + 1;
  }
  return text.length;
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
  let at = blanks(text, from + 1);
  while (at < text.length && text.charCodeAt(at) !== sign.closeList) {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = blanks(text, end);
    if (text.charCodeAt(at) === sign.comma) at = blanks(text, at + 1);
  }
  return elements;
}

/** Where the value of a member of the object begins, the last of that name; -1: it has none. */
export function valueAt(text: string, name: string): number {
  let found = -1;
  for (let i = begin(text, 0); i > 0;) {
    const end = endOfText(text, i);
    const from = blanks(text, text.indexOf(":", end) + 1);
    if (isNamed(text, i, end, name)) found = from;
    i = next(text, blanks(text, endOfValue(text, from)));
  }
  return found;
}
