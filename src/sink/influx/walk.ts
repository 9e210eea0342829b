/** Steps over the text of a payload, without making anything of it: its characters, and where a name or a value ends. */

export const space = 32;
export const quote = 34;
export const comma = 44;
export const minus = 45;
export const dot = 46;
export const zero = 48;
export const nine = 57;
export const colon = 58;
export const backslash = 92;
export const small = { f: 102, i: 105, n: 110, t: 116 };
export const open = 123;
export const close = 125;

export const isDigit = (char: number): boolean => char >= zero && char <= nine;

export function skip(text: string, from: number, char: number): number {
  let i = from;
  while (text.charCodeAt(i) === char) i += 1;
  return i;
}

/** Does this name stand there? A name with escapes never does: it is left to encodeLine. */
export function isAt(text: string, from: number, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) if (text.charCodeAt(from + i) !== name.charCodeAt(i)) return false;
  return text.charCodeAt(from + name.length) === quote;
}

/** The index of the quote that ends a text; -1 if it has escapes or does not end. */
export function endOf(text: string, from: number): number {
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === quote) return i;
    if (c === backslash) return -1;
  }
  return -1;
}

/** The index behind a value that is no field; -1 if it is an object, an array or odd. */
export function behind(text: string, from: number): number {
  if (text.charCodeAt(from) === quote) {
    const end = text.indexOf('"', from + 1);
    // Other escapes do not matter in a text that is skipped.
    return end < 0 || text.charCodeAt(end - 1) === backslash ? -1 : end + 1;
  }
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === comma || c === close || c === space) return i;
    if (c === open || c === 91) return -1;
  }
  return -1;
}
