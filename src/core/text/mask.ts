/**
 * Text from outside as it may be shown: in the log, in /stats and /readyz (which whoever reaches the port may read), by `sluice check`,
 * in mistakes of the configuration, in dead letters and in the audit log.
 *
 * A downstream system quotes what it was sent, an operator forgets a scheme or puts a password into a query, a device uses its token as its
 * name: who writes the text cannot know, so it is masked at the few doors through which text leaves (`explain`, the logger, the
 * status endpoints, problem details, the audit log, a command's standard error). To mask at each caller was the alternative; it
 * leaked at the one that was forgotten. Payloads of devices are another matter (judge/redact.ts): they must stay JSON, digit by digit.
 */
import { partTokens, tokenStart } from "../token.ts";
import { isRawJson } from "./json-digits.ts";

const blank = "***";
/** A shorter secret would be found in innocent text, and so would a plain word that is not long. */
const secretCharsMin = 8;
const wordCharsMin = 16;
/** Secrets that are known; a file that is read again adds one. */
const secretsMax = 1_000;

/** The longest first: one may be part of another. */
let secrets: readonly string[] = [];

/** From now on this text is shown nowhere. Of a URL it is what `masked` would take out. */
export function keepSecret(text: string): void {
  const found = text.includes("://") ? secretsOf(text) : [text];
  const written = found.flatMap((secret) => [secret, decoded(secret), encodeURIComponent(secret)]);
  const fresh = written.filter((it) => isTelling(it) && !secrets.includes(it));
  if (fresh.length === 0) return;
  const all = [...fresh, ...secrets].slice(0, secretsMax);
  secrets = [...new Set(all)].toSorted((a, b) => b.length - a.length);
}

/** `scheme://user:password@`, up to the last @: a password may hold any sign. */
const login = /([a-z][a-z0-9+.-]{0,30}:\/\/)([^\s"'<>]{0,2048})@/gi;
/** InfluxDB 1 takes `u` and `p`. */
const inQuery =
  /([?&;](?:[\w-]{0,40}(?:pass|pwd|token|secret|key|auth|credential|signature)[\w-]{0,40}|u|p)=)([^&\s"'#]*)/gi;
const named =
  /([\w-]{0,40}(?:password|passwd|pwd|secret|token|api[_-]?key)(?:\s*=\s*["']?|\\?["']\s*:\s*\\?["']))([^\s"'\\&,;)}\]]{4,})/gi;
/** An ordinary word follows "token" or "basic" in a sentence; a credential has a digit. */
const authorization = /\b((?:bearer|basic|token)\s+)((?=[^\s"']*\d)[\w.~+/=-]{8,})/gi;
/** PostgreSQL quotes the row that it refuses. */
const quotedRow = /(row contains \()[\s\S]*/i;

export function masked(text: string): string {
  let shown = text;
  for (const secret of secrets) if (shown.includes(secret)) shown = shown.replaceAll(secret, blank);
  return shown
    .replace(login, (_, scheme: string, user: string) => `${scheme}${loginShown(scheme, user)}@`)
    .replace(inQuery, hidden)
    .replace(named, hidden)
    .replace(authorization, `$1${blank}`)
    .replace(partTokens, `${tokenStart}${blank}`)
    .replace(quotedRow, "$1…)");
}

/** A colon at the end of the value is the sentence's. */
function hidden(_: string, name: string, value: string): string {
  return `${name}${blank}${value.endsWith(":") ? ":" : ""}`;
}

/** Without a secret that somebody presented beside this text, and that is not known otherwise: a stranger's password, say. */
export function maskedOf(secret: string, text: string): string {
  return isTelling(secret) ? text.replaceAll(secret, blank) : text;
}

/** What `masked` does, of every text within: an answer, a line of the log. */
export function maskedIn<T>(value: T): T {
  return maskedAny(value) as T;
}

function maskedAny(value: unknown): unknown {
  if (typeof value === "string") return masked(value);
  if (Array.isArray(value)) return value.map(maskedAny);
  if (typeof value !== "object" || value === null || !isPlain(value) || isRawJson(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [masked(name), maskedAny(member)]));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Hosted brokers take a token as the user, alone; PostgreSQL's user alone is no secret. */
function loginShown(scheme: string, text: string): string {
  const [user = "", ...password] = text.split(":");
  if (password.join(":") !== "") return `${user}:${blank}`;
  return scheme.toLowerCase().startsWith("postgres") && !user.includes("/") ? user : blank;
}

function secretsOf(url: string): string[] {
  const logins = [...url.matchAll(login)].flatMap(([, scheme = "", text = ""]) => {
    const [user = "", ...password] = text.split(":");
    return loginShown(scheme, text).endsWith(blank) ? [password.join(":") || user] : [];
  });
  const keys = [...url.matchAll(inQuery)].flatMap(([, key = "", value = ""]) =>
    /[?&;]u=$/i.test(key) ? [] : [value],
  );
  return [...logins, ...keys];
}

function isTelling(secret: string): boolean {
  return secret.length >= (/^[a-z]+$/i.test(secret) ? wordCharsMin : secretCharsMin) && secret !== blank;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
