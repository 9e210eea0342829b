/**
 * The metrics of a payload as two lists of JSON text of the same length, and its seq. The payload is valid JSON on one line, so that
 * this only has to find where names and values end. A metric that is null has no place in a list of values.
 */
import { begin, blanks, endOfText, endOfValue, isNamed, next, sign } from "../../kafka/json-text.ts";

export interface Metrics {
  /** Names, quoted and separated by commas. */
  readonly labels: string;
  readonly values: string;
  /** "" if it has none. */
  readonly seq: string;
}

export function metricsOf(payload: string): Metrics {
  let labels = "";
  let values = "";
  let seq = "";
  let inMetrics = false;
  for (let i = begin(payload, 0); i > 0;) {
    const nameEnd = endOfText(payload, i);
    const from = blanks(payload, payload.indexOf(":", nameEnd) + 1);
    const first = payload.charCodeAt(from);
    if (!inMetrics && first === sign.open && isNamed(payload, i, nameEnd, "metrics")) {
      labels = values = "";
      const inner = begin(payload, from);
      inMetrics = inner > 0;
      i = inMetrics ? inner : next(payload, payload.indexOf("}", from) + 1);
      continue;
    }
    const end = endOfValue(payload, from);
    if (inMetrics) {
      if (first !== sign.n && first !== sign.open && first !== sign.openList) {
        labels += labels === "" ? payload.slice(i, nameEnd) : `,${payload.slice(i, nameEnd)}`;
        values += values === "" ? payload.slice(from, end) : `,${payload.slice(from, end)}`;
      }
    } else if (isNamed(payload, i, nameEnd, "seq")) seq = first === sign.n ? "" : payload.slice(from, end);
    const after = blanks(payload, end);
    if (inMetrics && payload.charCodeAt(after) === sign.close) {
      inMetrics = false;
      i = next(payload, after + 1);
    } else i = next(payload, after);
  }
  return { labels, values, seq };
}
