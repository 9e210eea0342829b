/** Numbers and times as people read them, as far as the page alone shows them so. */
import { counted, countedEntries, duration, localTime as time, number, size } from "../core/text/readable.ts";

/** Names and words from outside: a character that turns the direction of text round would make of one name another. */
export { printable as shown } from "../core/text/terminal.ts";
export { counted, countedEntries, duration, number, size, time };

/** With the full stop that the gateway's words have, and the page's own have not. */
export const ended = (words: string): string => words.replace(/\.?$/, ".");

export function rate(n: number): string {
  return `${n >= 10 || n === 0 ? number(n) : n.toFixed(1)}/s`;
}

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 1000 ? `${value} ms` : duration(value / 1000);
}
