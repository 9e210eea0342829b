/**
 * What an answer means for the lines that were sent. Pure.
 *
 * Status codes alone do not say it: a 400 can mean that all lines but one are stored, a 422 that a database is one too
 * many (nothing is wrong with the lines), a 403 that a firewall dislikes what one device says, and a 500 that a body is poison
 * (InfluxDB 3.0 to 3.9 answer 500 to a body that is too large) or that some points are too old (2.0). So known words decide, and unknown ones never suffice to refuse a line. Words
 * quote what devices send. So only the words of the interface in use are read, at their beginning and end, which are the
 * server's own; and they only decide which lines are sent again apart (suspects.ts). The answer to those lines counts.
 */
import { isObject } from "../../core/text/is-object.ts";
import type { ApiKind } from "./api.ts";
import type { InfluxAnswer } from "./http.ts";
import { suspicionIn, type Suspicion } from "./suspects.ts";

export type Verdict =
  | { readonly kind: "stored" }
  /** These lines, by index, are refused. The others are stored if `othersStored`; else none is. */
  | { readonly kind: "lines"; readonly refused: ReadonlyMap<number, string>; readonly othersStored: boolean }
  /** Some lines are refused, and the answer does not say which. */
  | Some
  | { readonly kind: "too-large"; readonly why: string }
  /** A server error, or a refusal in unknown words. `poison`: the words blame the body. */
  | { readonly kind: "fault"; readonly why: string; readonly poison: boolean }
  /** Not now. `down`: the whole server, not this database. `alarm`: an operator must act. `slow`: the body may be too much. */
  | {
      readonly kind: "away";
      readonly why: string;
      readonly retryAfterMs: number;
      readonly down: boolean;
      readonly alarm: boolean;
      readonly slow: boolean;
    };

export interface Some {
  readonly kind: "some";
  readonly why: string;
  /** How many lines are refused; null if the words do not say. */
  readonly dropped: number | null;
  /** The lines that are not refused are stored; else none is. */
  readonly othersStored: boolean;
  readonly suspicion: Suspicion | null;
}

/** A trouble that only an operator can end is tried again after this long. */
const alarmRetryMs = 30_000;
/** A longer Retry-After is cut to this. */
const retryAfterMaxMs = 600_000;
/** Longest text for people. */
const whyCharsMax = 500;

/** Words about the database or the request, at the beginning: further on, a metric's name or text may be quoted. */
const ofDatabase =
  /^([^"']{0,80}: )?(adding a new database would exceed|cannot write to soft-deleted|invalid character in database|db name|database name|database is required|database not found|bucket name|missing query parameter|serde error|authorization header was malformed|unacceptable content-encoding|invalid precision)/i;
/** About the database, although InfluxDB 3 may say it of each line. */
const databaseLimit = /^adding a new database would exceed/i;
const ofBody = /max request size|decoding gzip|not valid utf8/i;
/** All lines but those that the words are about are stored. */
const partial =
  /^((failure|unexpected error) writing points to database: )?(partial write: |(dropped )?\d* ?points (beyond|outside) retention)/i;
const ofLines =
  /^(unable to parse|parsing failed|failed to parse line protocol|cannot process influx line|line protocol|write buffer error: line protocol)/i;

const isFull = /no space left on device/i;
const fullHint = " (make room on its disk, then restart it: versions 1 and 2 say this until then)";

/** An operator can do nothing; the server, or a proxy before it, is to be asked again. */
export const isBusy = (status: number) => [408, 425, 429, 502, 503, 504].includes(status);

/** Whatever the body is: the login, InfluxDB's or a proxy's, and the URL. */
const loginOrPlace: ReadonlySet<number> = new Set([401, 404, 407]);

export function judgeAnswer(answer: InfluxAnswer, kind: ApiKind, nowMs: number): Verdict {
  const { status } = answer;
  // Every version answers 204 and nothing else; a 200 is some other service's, such as a portal that wants a login.
  if (status === 204) return { kind: "stored" };
  const body = parse(answer.text);
  const words = wordsIn(answer.text, body);
  const why = `${said(status, words)}${status >= 500 && isFull.test(words) ? fullHint : ""}`;
  if (status === 413 || (status >= 500 && /max request size/i.test(words))) return { kind: "too-large", why };
  if (isBusy(status)) {
    const retryAfterMs = retryAfter(answer.headers, nowMs);
    return { kind: "away", why, retryAfterMs, down: true, alarm: false, slow: [408, 504].includes(status) };
  }
  if (status === 400 || status === 422) return judgeRefusal(kind, words, why, body);
  if (status >= 500 && (partial.test(words) || kind === "questdb")) return someOf(kind, words, why, body);
  if (status >= 500) return { kind: "fault", why, poison: ofBody.test(words) };
  if (status > 400 && !loginOrPlace.has(status) && !isOwnRefusal(answer))
    return { kind: "fault", why: why + proxyHint, poison: true };
  return parked(why + hintFor(status, words), status === 401 || isOfOrganization(words));
}

function judgeRefusal(kind: ApiKind, words: string, why: string, body: unknown): Verdict {
  const lines = kind === "v3" ? linesOf(body) : null;
  const limit = [...(lines?.refused.values() ?? [])].find((said) => databaseLimit.test(said));
  if (limit !== undefined) return parked(`${why}: ${limit}${databaseHint(limit)}`, false);
  if (lines !== null) return lines;
  if (isOfOrganization(words)) return parked(why + hintFor(400, words), true);
  if (ofDatabase.test(words)) return parked(why + databaseHint(words), false);
  if (partial.test(words) || ofLines.test(words)) return someOf(kind, words, why, body);
  return { kind: "fault", why, poison: true };
}

function someOf(kind: ApiKind, words: string, why: string, body: unknown): Some {
  const dropped = droppedIn(words);
  const first = kind === "questdb" && isObject(body) ? body["line"] : undefined;
  const named = typeof first === "number" ? ({ kind: "line", index: first - 1 } as const) : null;
  return {
    kind: "some",
    why,
    dropped,
    othersStored: partial.test(words),
    suspicion: suspicionIn(words, dropped) ?? named,
  };
}

/**
 * The count of refused lines: at the end of the words or in the first few of them, which no device wrote. It is 0 for lines
 * that do not parse.
 */
function droppedIn(words: string): number | null {
  const digits =
    /dropped=(\d+)(?: for database: [^ ]* for retention policy: [^ ]*)?$/.exec(words)?.[1] ??
    /^(?:[a-z ]*: )?(?:partial write: )?(?:dropped )?(\d+) points (?:beyond|outside) retention/i.exec(
      words,
    )?.[1];
  return digits === undefined || digits === "0" ? null : Number(digits);
}

/** `data` of InfluxDB 3: an array if the other lines are stored, an object (the first bad line) if none is. */
function linesOf(body: unknown): (Verdict & { kind: "lines" }) | null {
  const data = isObject(body) ? body["data"] : undefined;
  const listed = Array.isArray(data) ? data : [data];
  const refused = new Map<number, string>();
  for (const item of listed) {
    if (!isObject(item) || typeof item["line_number"] !== "number") return null;
    refused.set(item["line_number"] - 1, String(item["error_message"]));
  }
  return refused.size === 0 ? null : { kind: "lines", refused, othersStored: Array.isArray(data) };
}

function parked(why: string, down: boolean): Verdict {
  return { kind: "away", why, retryAfterMs: alarmRetryMs, down, alarm: true, slow: false };
}

const isOfOrganization = (words: string) =>
  /^(please provide either orgid or org|organization name "|organization not found)/i.test(words);

const isOfMissing = (words: string) => /^(bucket|database)\b/.test(words);

/** Does it say that the database is not there? A proxy says 404, too, while the server behind it is away. */
export const lacksDatabase = ({ status, text }: InfluxAnswer): boolean =>
  status === 404 && isOfMissing(wordsIn(text, parse(text)));

/** Are these InfluxDB's words, of any version? A proxy or a firewall refuses, too, and knows nothing of tokens. */
export function isOwnRefusal({ text }: InfluxAnswer): boolean {
  const body = parse(text);
  return isObject(body) && ("error" in body || "code" in body);
}

export const proxyLoginHint =
  " (a proxy wants a login: HTTP_PROXY or HTTPS_PROXY of the environment may be http://user:password@host:port)";

const proxyHint = " (not InfluxDB's words: ask who runs the proxy or firewall before it)";

function hintFor(status: number, words: string): string {
  if (isOfOrganization(words)) return " (set INFLUXDB_ORG to the organization's name or id)";
  if (status === 401) return " (check INFLUXDB_TOKEN, or INFLUXDB_USERNAME and INFLUXDB_PASSWORD)";
  if (status === 407) return proxyLoginHint;
  if (status === 403) return " (INFLUXDB_TOKEN may not write to this database)";
  if (status < 400) return " (not InfluxDB's answer: check INFLUXDB_URL)";
  if (status === 404 && isOfMissing(words)) return " (create it, or set INFLUX_RETENTION to have it created)";
  if (status === 404)
    return " (check INFLUXDB_URL and INFLUXDB_API; or create the database, or set INFLUX_RETENTION)";
  return "";
}

function databaseHint(words: string): string {
  return /would exceed limit/.test(words)
    ? " (set INFLUXDB_DATABASE to one that tenants share, or delete a database)"
    : "";
}

/** Seconds, or an HTTP date (RFC 9110 §10.2.3) by the clock of whoever says it; 0 if it is absent or cannot be read. */
function retryAfter(headers: Headers, nowMs: number): number {
  const said = headers.get("retry-after")?.trim();
  if (said === undefined) return 0;
  const theirsMs = Date.parse(headers.get("date") ?? "") || nowMs;
  const ms = /^\d+(\.\d+)?$/.test(said) ? Number(said) * 1000 : Date.parse(said) - theirsMs;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), retryAfterMaxMs) : 0;
}

/** Error bodies carry no Content-Type, so JSON is recognised by trying. @returns undefined: it is none */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** An answer for people. Many have no words. */
export const saidIn = ({ status, text }: InfluxAnswer): string => said(status, wordsIn(text, parse(text)));

const said = (status: number, words: string) =>
  words === "" ? `HTTP ${status}` : `HTTP ${status}: ${shortened(words)}`;

/** The server's words; InfluxDB 2 has them in JSON over several lines, a proxy in a page. */
function wordsIn(text: string, body: unknown): string {
  const words = isObject(body) ? (body["error"] ?? body["message"]) : titleOf(text);
  return (typeof words === "string" ? words : text).trim();
}

/** What a proxy's page says at its top: the rest of it is tags. */
function titleOf(text: string): string | undefined {
  const title = /^\s*<(?:!doctype|html|head).{0,2000}?<title[^>]*>([^<]+)</is.exec(text)?.[1];
  return title === undefined ? undefined : `a page, "${title.trim().replaceAll(/\s+/g, " ")}"`;
}

/** Words cut for people: the beginning says what is wrong, the end how often. */
function shortened(words: string): string {
  if (words.length <= whyCharsMax) return words;
  const tail = 40;
  return `${words.slice(0, whyCharsMax - tail)} … ${words.slice(-tail)}`;
}
