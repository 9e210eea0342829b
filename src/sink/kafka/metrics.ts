/**
 * The metrics of a payload as two lists of JSON text of the same length, and its seq. The payload is valid JSON on one line, so that
 * this only has to find where names and values end. A metric that is null has no place in a list of values.
 */
import { endOfString, endOfValue, skipBlank } from "../../core/text/json-scan.ts";
import { begin, isNamed, next, sign, standsAt } from "../../kafka/json-text.ts";
import type { Utf8 } from "../../kafka/utf8.ts";

export interface Metrics {
  /** Names in their quotes. */
  readonly names: readonly string[];
  /** "" if it has none. */
  readonly seq: string;
}

/**
 * @param known names of the device's last payload: they are compared first, and returned themselves if these are the same
 * @param values they are added to it, separated by commas
 */
export function metricsOf(payload: string, known: readonly string[], values: Utf8): Metrics {
  const first = values.length;
  let count = 0;
  /** null: so far they are those that are known. */
  let others: string[] | null = null;
  let seq = "";
  let inMetrics = false;
  for (let i = begin(payload, 0); i > 0;) {
    const guess = inMetrics ? known[count] : undefined;
    const isGuess = guess !== undefined && standsAt(payload, i, guess);
    const nameEnd = isGuess ? i + guess.length : endOfString(payload, i);
    const from = skipBlank(payload, skipBlank(payload, nameEnd) + 1);
    const char = payload.charCodeAt(from);
    if (!inMetrics && char === sign.open && isNamed(payload, i, nameEnd, "metrics")) {
      [count, others, values.length] = [0, null, first];
      const inner = begin(payload, from);
      inMetrics = inner > 0;
      i = inMetrics ? inner : next(payload, payload.indexOf("}", from) + 1);
      continue;
    }
    const end = endOfValue(payload, from);
    if (inMetrics) {
      if (char !== sign.n && char !== sign.open && char !== sign.openList) {
        if (!isGuess) others ??= known.slice(0, count);
        others?.push(payload.slice(i, nameEnd));
        if (count > 0) values.slice(",", 0, 1);
        count += 1;
        values.slice(payload, from, end);
      }
    } else if (isNamed(payload, i, nameEnd, "seq")) seq = char === sign.n ? "" : payload.slice(from, end);
    const after = skipBlank(payload, end);
    if (inMetrics && payload.charCodeAt(after) === sign.close) {
      inMetrics = false;
      i = next(payload, after + 1);
    } else i = next(payload, after);
  }
  return { names: others ?? (count === known.length ? known : known.slice(0, count)), seq };
}
