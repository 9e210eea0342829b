/**
 * Where a text ends that names no secret, holds no token, and has no escape and no control character: found in one pass over its
 * characters, each of which leads from one state to the next. A state is how much of a word has just been read (Aho and Corasick, 1975).
 * To look for the end, then for letters of the words, and then for the words took four times as long. Pure.
 */
import { tokenStart } from "../core/token.ts";
import { secretWords } from "./secret-names.ts";

/** From here on a state is an end: of the text, by its quote, or of the search, at what no plain text has. */
const ends = 0xff00;
const [quoted, refused] = [ends, ends + 1];
const [space, quote, backslash] = [0x20, 0x22, 0x5c];
/** Stands for all characters beyond printable ASCII. A word may have white space of Unicode in its middle, so any of them counts as such. */
const beyond = 0x7f;
/** States are multiples of it, so that a character is added and nothing else. */
const rowSize = 128;

/** For each state and character the next state. @param isAscii no character beyond is taken */
function statesOf(isAscii: boolean): Uint16Array {
  const words = [tokenStart, ...secretWords(String.fromCharCode(beyond))];
  const beginnings = new Set(words.flatMap((word) => Array.from(word, (_, length) => word.slice(0, length))));
  const states = [...beginnings].sort((a, b) => a.length - b.length);
  const next = new Uint16Array(states.length * rowSize);
  for (let unit = 0; unit < rowSize; unit++)
    if (unit < space || unit === backslash || (isAscii && unit === beyond)) next[unit] = refused;
  next[quote] = quoted;
  for (const [state, text] of states.entries()) {
    const row = state * rowSize;
    // What else could have begun within it, with all that may follow then.
    let rest = text.slice(1);
    while (!beginnings.has(rest)) rest = rest.slice(1);
    const other = states.indexOf(rest) * rowSize;
    if (state > 0) next.copyWithin(row, other, other + rowSize);
    for (const word of words) {
      if (!word.startsWith(text)) continue;
      const longer = word.slice(0, text.length + 1);
      const to = longer === word ? refused : states.indexOf(longer) * rowSize;
      const letter = word.charAt(text.length);
      for (const unit of [letter, letter.toUpperCase()].map((of) => of.charCodeAt(0)))
        if (unit !== beyond || !isAscii) next[row + unit] = to;
    }
  }
  return next;
}

const [ascii, any] = [statesOf(true), statesOf(false)];

/**
 * @returns the index of the quote that ends a plain text, or -1: it is none, or longer
 * @param isAscii whether it may have no other characters
 */
export function endOfPlainText(text: string, from: number, charsMax: number, isAscii: boolean): number {
  const next = isAscii ? ascii : any;
  const last = Math.min(text.length, from + charsMax + 1);
  let state = 0;
  for (let at = from; at < last; at++) {
    state = next[state + Math.min(text.charCodeAt(at), beyond)] ?? refused;
    if (state >= ends) return state === quoted ? at : -1;
  }
  return -1;
}
