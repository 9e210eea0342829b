/**
 * The metrics of a payload as two lists of JSON text of the same length, and its seq. The payload is valid JSON on one line, so that
 * this only has to find where names and values end. A metric that is null has no place in a list of values.
 */

export interface Metrics {
  /** Names, quoted and separated by commas. */
  readonly labels: string;
  readonly values: string;
  /** "" if it has none. */
  readonly seq: string;
}

const quote = 34;
const comma = 44;
const backslash = 92;
const openList = 91;
const closeList = 93;
const open = 123;
const close = 125;
const letterN = 110;
const space = 32;

export function metricsOf(payload: string): Metrics {
  let labels = "";
  let values = "";
  let seq = "";
  let inMetrics = false;
  for (let i = begin(payload, 0); i > 0;) {
    const nameEnd = endOfText(payload, i);
    const from = blanks(payload, payload.indexOf(":", nameEnd) + 1);
    const first = payload.charCodeAt(from);
    if (!inMetrics && first === open && isNamed(payload, i, nameEnd, "metrics")) {
      labels = values = "";
      const inner = begin(payload, from);
      inMetrics = inner > 0;
      i = inMetrics ? inner : next(payload, payload.indexOf("}", from) + 1);
      continue;
    }
    const end = endOfValue(payload, from);
    if (inMetrics) {
      if (first !== letterN && first !== open && first !== openList) {
        labels += labels === "" ? payload.slice(i, nameEnd) : `,${payload.slice(i, nameEnd)}`;
        values += values === "" ? payload.slice(from, end) : `,${payload.slice(from, end)}`;
      }
    } else if (isNamed(payload, i, nameEnd, "seq")) seq = first === letterN ? "" : payload.slice(from, end);
    const after = blanks(payload, end);
    if (inMetrics && payload.charCodeAt(after) === close) {
      inMetrics = false;
      i = next(payload, after + 1);
    } else i = next(payload, after);
  }
  return { labels, values, seq };
}

/** Where the first name of an object begins that opens at or behind `from`; 0: it is empty. */
function begin(text: string, from: number): number {
  const at = blanks(text, text.indexOf("{", from) + 1);
  return text.charCodeAt(at) === quote ? at : 0;
}

/** Where the next name begins, from the sign behind a value; 0: the object ends. */
function next(text: string, from: number): number {
  const at = blanks(text, from);
  return text.charCodeAt(at) === comma ? blanks(text, at + 1) : 0;
}

function blanks(text: string, from: number): number {
  let i = from;
  while (text.charCodeAt(i) <= space) i += 1;
  return i;
}

/** Behind the quote that ends the text which begins with one at `from`. */
function endOfText(text: string, from: number): number {
  for (let i = from + 1; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === quote) return i + 1;
    if (c === backslash) i += 1;
  }
  return text.length;
}

function endOfValue(text: string, from: number): number {
  const first = text.charCodeAt(from);
  if (first === quote) return endOfText(text, from);
  if (first === open || first === openList) return endOfNested(text, from);
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === comma || c === close || c === closeList || c <= space) return i;
  }
  return text.length;
}

function endOfNested(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === quote) i = endOfText(text, i) - 1;
    else if (c === open || c === openList) depth += 1;
    else if ((c === close || c === closeList) && --depth === 0) return i + 1;
  }
  return text.length;
}

/** A name that is written with escapes is compared as what it says. */
function isNamed(text: string, from: number, end: number, name: string): boolean {
  if (end - from === name.length + 2) return text.startsWith(name, from + 1);
  const raw = text.slice(from, end);
  return raw.includes("\\") && JSON.parse(raw) === name;
}
