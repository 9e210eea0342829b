/**
 * Steps through JSON text that is known to be valid, for work on the text itself and not on the parsed value: parsing
 * hides duplicate keys and spells numbers differently.
 */
export const quote = 0x22;
const backslash = 0x5c;

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

/** The index of the first character at or after `at` that is not JSON white space. */
export function skipBlank(text: string, at: number): number {
  let next = at;
  while (next < text.length && isBlank(text.charCodeAt(next))) next++;
  return next;
}

function isBlank(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** The index after the value that begins at `start`. */
export function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length;) {
    const char = text.charAt(at);
    if (char === '"') at = endOfString(text, at);
    else if (char === "{" || char === "[") [depth, at] = [depth + 1, at + 1];
    else if (char === "}" || char === "]") [depth, at] = [depth - 1, at + 1];
    else at = endOfScalar(text, at);
    if (depth === 0) return at;
    while (
      at < text.length &&
      (text.charAt(at) === "," || text.charAt(at) === ":" || isBlank(text.charCodeAt(at)))
    )
      at++;
  }
  return text.length;
}

function endOfScalar(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && !',:}]"{['.includes(text.charAt(at)) && !isBlank(text.charCodeAt(at))) at++;
  return at;
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
