/**
 * Steps through JSON text that is known to be valid, for work on the text itself and not on the parsed value: parsing
 * hides duplicate keys and spells numbers differently.
 */
export const quote = 0x22;
const [space, comma, backslash] = [0x20, 0x2c, 0x5c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

/**
 * The index after the closing quote of the string that opens at `open`. The engine finds a quote many characters at a time; one that is
 * escaped has others behind it, and from there on a step each takes half as long.
 */
export function endOfString(text: string, open: number): number {
  const first = text.indexOf('"', open + 1);
  if (first < 0) return text.length;
  if (text.charCodeAt(first - 1) !== backslash) return first + 1;
  for (let at = open + 1; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === quote) return at + 1;
    if (unit === backslash) at++;
  }
  return text.length;
}

/** The index of the first character at or after `at` that is not JSON white space; no other control character stands between values. */
export function skipBlank(text: string, at: number): number {
  let next = at;
  while (text.charCodeAt(next) <= space) next++;
  return next;
}

/** The index after the value that begins at `start`. */
export function endOfValue(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return endOfString(text, start);
  if (first === openBrace || first === openBracket) return endOfNested(text, start);
  for (let at = start; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === comma || unit === closeBrace || unit === closeBracket || unit <= space) return at;
  }
  return text.length;
}

function endOfNested(text: string, open: number): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === quote) at = endOfString(text, at) - 1;
    else if (unit === openBrace || unit === openBracket) depth++;
    else if ((unit === closeBrace || unit === closeBracket) && --depth === 0) return at + 1;
  }
  return text.length;
}

/** So short a text is searched in less time than its strings are found in. */
const skeletonFromChars = 1_024;
const longStringChars = 256;
/** With so many strings and no end, the text is not made of a few long ones. */
const stringsMax = 32;

/**
 * The text without what stands in its long strings, for a search that does not ask for that: an image in base64 or a page of words is
 * most of its message, and was most of what such a search took. A text of many strings comes back as it is.
 * @param mayGo what a long string holds; never asked for a name
 */
export function skeletonOf(text: string, mayGo: (content: string) => boolean = () => true): string {
  if (text.length < skeletonFromChars) return text;
  let [kept, from, open] = ["", 0, text.indexOf('"')];
  for (let strings = 0; open >= 0; strings++) {
    if (strings === stringsMax) return text;
    const end = endOfString(text, open);
    if (end - open > longStringChars && !isName(text, end) && mayGo(text.slice(open + 1, end - 1))) {
      kept += text.slice(from, open + 1);
      from = end - 1;
    }
    open = text.indexOf('"', end);
  }
  return from === 0 ? text : kept + text.slice(from);
}

function isName(text: string, end: number): boolean {
  return text.charAt(skipBlank(text, end)) === ":";
}
