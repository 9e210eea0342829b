/**
 * Short bytes that are copied into many lines, eight at a time: to copy them one by one, or by a call of `set`, took a fifth of what a line
 * cost.
 */

export interface Words {
  readonly words: Float64Array;
  /** Of the bytes; what follows in the last word is of no account. */
  readonly length: number;
}

/** No double is made of them that is not a number, which would not be copied as it is: UTF-8 has no byte 255, and a name no 127. */
export function inWords(bytes: Uint8Array): Words {
  const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
  padded.set(bytes);
  // A copy: an array over memory that was asked for by itself takes three times as much.
  return { words: new Float64Array(padded.buffer).slice(), length: bytes.length };
}

/** Of a copy, for an array whose memory was asked for by itself keeps that. */
export function textOfWords({ words, length }: Words): string {
  return Buffer.from(words.slice().buffer, 0, length).toString();
}

/** @returns where they end; up to seven bytes behind that are written over */
export function copyWords({ words, length }: Words, view: DataView, at: number): number {
  for (let i = 0; i < words.length; i += 1) view.setFloat64(at + i * 8, words[i] ?? 0, true);
  return at + length;
}

export const trueWords = inWords(new TextEncoder().encode("true"));
export const falseWords = inWords(new TextEncoder().encode("false"));
