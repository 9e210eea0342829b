/**
 * What an answer of InfluxDB means for the lines that were sent. Pure.
 *
 * Status codes alone do not say it: a 400 can mean that all lines but one are stored, a 422 that a database is one too
 * many (nothing wrong with the lines), and a 500 that a body is poison (InfluxDB 3.0 to 3.9 answer 500 to a body that is too
 * large). So the words decide where they are known, and what is not known is never enough to refuse a line by itself.
 */

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export type Verdict =
  | { readonly kind: "stored" }
  /** These lines, by index, are refused; the others are stored, or (not `othersStored`) none is. */
  | { readonly kind: "lines"; readonly refused: ReadonlyMap<number, string>; readonly othersStored: boolean }
  /** Some line is refused, the answer does not say which. `dropped`: how many, where it says so. */
  | { readonly kind: "some"; readonly why: string; readonly dropped: number | null }
  | { readonly kind: "too-large"; readonly why: string }
  /** A server error, or a refusal in words not known. `poison`: the words blame the body. */
  | { readonly kind: "fault"; readonly why: string; readonly poison: boolean }
  /** Not now. `down`: the whole far side, not this database. `alarm`: an operator has to act. */
  | {
      readonly kind: "away";
      readonly why: string;
      readonly retryAfterMs: number;
      readonly down: boolean;
      readonly alarm: boolean;
    };

/** A trouble that only a person ends is looked at again after this long. */
const alarmRetryMs = 30_000;
/** No far side keeps us away for longer than this. */
const retryAfterMaxMs = 600_000;

/**
 * Words that are about the database or the request, at the beginning: further on, a metric's name or text may be quoted,
 * and a device must not be able to park its tenant.
 */
const ofDatabase =
  /^HTTP \d+: ([^"']{0,80}: )?(adding a new database would exceed|cannot write to soft-deleted|invalid character in database|db name|database name|database is required|database not found|bucket name|missing query parameter|serde error|max-series-per-database|max-values-per-tag|authorization header was malformed|unacceptable content-encoding|invalid precision)/i;
/** Not of the line, though it may be said of each. */
const databaseLimit = /^adding a new database would exceed/i;
const ofBody = /max request size|decoding gzip|not valid utf8/i;
const ofLines =
  /partial write|unable to parse|parsing failed|line protocol|field type conflict|column type|beyond retention|dropped=\d/i;

export function judgeAnswer(answer: Answer, nowMs: number): Verdict {
  const { status } = answer;
  // Every version answers 204 and nothing else; a 200 is some other service's, such as a portal that wants a login.
  if (status === 204) return { kind: "stored" };
  const body = parse(answer.text);
  const why = `HTTP ${status}: ${wordsOf(answer.text, body)}`;
  if (status === 413) return { kind: "too-large", why };
  if (/max request size/i.test(why) && status >= 500) return { kind: "too-large", why };
  if ([408, 425, 429, 502, 503, 504].includes(status)) {
    const retryAfterMs = retryAfter(answer.headers.get("retry-after"), nowMs);
    return { kind: "away", why, retryAfterMs, down: true, alarm: false };
  }
  if (status >= 500) return { kind: "fault", why, poison: ofBody.test(why) };
  if (status === 400 || status === 422) return judgeRefusal(why, body);
  return parked(`${why}${hintFor(status)}`, status === 401 || status === 403);
}

function judgeRefusal(why: string, body: unknown): Verdict {
  const lines = linesOf(body);
  const limit = [...(lines?.refused.values() ?? [])].find((words) => databaseLimit.test(words));
  if (limit !== undefined) return parked(`${why}: ${limit}${databaseHint(limit)}`, false);
  if (lines !== null) return lines;
  if (ofDatabase.test(why)) return parked(`${why}${databaseHint(why)}`, false);
  if (ofLines.test(why)) {
    const dropped = /dropped=(\d+)/.exec(why)?.[1];
    return { kind: "some", why, dropped: dropped === undefined ? null : Number(dropped) };
  }
  return { kind: "fault", why, poison: true };
}

/** `data` of InfluxDB 3: an array where the other lines are stored, an object (the first bad line) where none is. */
function linesOf(body: unknown): (Verdict & { kind: "lines" }) | null {
  const data = isRecord(body) ? body["data"] : undefined;
  const listed = Array.isArray(data) ? data : [data];
  const refused = new Map<number, string>();
  for (const item of listed) {
    if (!isRecord(item) || typeof item["line_number"] !== "number") return null;
    refused.set(item["line_number"] - 1, String(item["error_message"]));
  }
  return refused.size === 0 ? null : { kind: "lines", refused, othersStored: Array.isArray(data) };
}

function parked(why: string, down: boolean): Verdict {
  return { kind: "away", why, retryAfterMs: alarmRetryMs, down, alarm: true };
}

function hintFor(status: number): string {
  if (status === 401) return " (check INFLUXDB_TOKEN)";
  if (status === 403) return " (the token may not write here)";
  if (status < 400) return " (not InfluxDB's answer: check INFLUXDB_URL)";
  if (status === 404)
    return " (check INFLUXDB_URL and INFLUXDB_API; or create the database, or set INFLUX_RETENTION)";
  return "";
}

function databaseHint(why: string): string {
  return /would exceed limit/.test(why)
    ? " (set INFLUXDB_DATABASE to one that tenants share, or delete a database)"
    : "";
}

/** Seconds or an HTTP date (RFC 9110 §10.2.3); 0 where it is absent or cannot be read. */
function retryAfter(header: string | null, nowMs: number): number {
  if (header === null) return 0;
  const ms = /^\d+(\.\d+)?$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), retryAfterMaxMs) : 0;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Error bodies carry no Content-Type, so JSON is recognised by trying. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function wordsOf(text: string, body: unknown): string {
  const words = isRecord(body) ? (body["error"] ?? body["message"]) : text;
  return (typeof words === "string" ? words : text).trim().slice(0, 500);
}
