/**
 * Steps through JSON text that is known to be valid, for work on the text itself and not on the parsed value: parsing
 * hides duplicate keys and spells numbers differently.
 */
export const quote = 0x22;
const backslash = 0x5c;

/** The index after the closing quote of the string that opens at `open`. */
export function endOfString(text: string, open: number): number {
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
