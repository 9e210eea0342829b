/**
 * Text from outside as a terminal may be shown it. A device names its topic and site as it likes, and a terminal obeys what it is
 * sent: it would clear the screen, hide lines or write what the operator types next.
 *
 * Escaped as JSON escapes (`\u001b`), so that one way serves commands, the log and answers over HTTP: within JSON the value stays the
 * same, for there control characters stand in strings alone (and JSON.stringify leaves those of C1, which terminals obey too).
 * Always, not for a terminal only: what is kept in a file is read with one later.
 */

/** A line break is ours, and so is a carriage return at the beginning, which writes over a line of progress. */
const obeyed = /(?!\n|^\r)[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;
const lineBreak = /\n/g;

/** Whole lines. */
export function printable(text: string): string {
  return text.replace(obeyed, escaped);
}

/** A cell of a table, say: a line break in it would pass for another row. */
export function oneLine(text: string): string {
  return printable(text).replace(lineBreak, String.raw`\n`);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
