/**
 * Takes the token out of everything that is kept of a message, before the spool sees it.
 *
 * It is cut out of the device's own text, not by writing the parsed value anew: that would change digits (1.0 becomes 1),
 * and what a duplicate key hides would be gone from our sight but not from the bytes of a reject. The usual message, with one
 * "provision_token", costs two slices.
 */
import { endOfString, endOfValue, skipBlank } from "./scan.ts";

const tokenName = "provision_token";
const tokenNameAnyCase = /provision_token/i;
/** What follows the name where it is a key with a plain string. */
const plainValue = /"[ \t\r\n]*:[ \t\r\n]*"([^"\\]*)"/y;
/** A shorter token is blanked where it is presented, but not searched elsewhere: it would be found in innocent text. */
const tokenCharsSearched = 8;
const blank = "***";
/** As the registry issues them (24 bytes in base64url), or somewhat shorter: no name is as long. */
const wholeToken = /tok-[\w-]{24,}/g;
/** A printable ASCII character spelled as an escape: nobody does so but to hide a name. */
const escapedAscii = /\\u00[2-7]/i;
const urlSafe = /^[\w.~+=:-]*$/;

/**
 * Valid JSON as one line without tokens: every value of a `provision_token`, at any depth and however spelled, and every
 * string that holds `token` or one that the registry issued, gets "***" in its place. All other characters stay as they
 * were; raw line breaks, which valid JSON has only between its parts, become spaces.
 */
export function redact(text: string, token: string | undefined): string {
  const line = text.includes("\n") || text.includes("\r") ? text.replace(/[\r\n]/g, " ") : text;
  const oddToken = token !== undefined && !urlSafe.test(token) && line.includes("\\");
  const spelled = oddToken || (line.includes("\\u") && escapedAscii.test(line)) ? spellOut(line) : line;
  const blanked = blankPresented(blankValues(spelled), token);
  // One that it holds elsewhere and did not present: under a misspelt name, say, or another device's.
  return blanked.includes("tok-") ? blankInStrings(blanked, wholeToken, `tok-${blank}`) : blanked;
}

function blankPresented(text: string, token: string | undefined): string {
  if (token === undefined || token.length < tokenCharsSearched) return text;
  const written = JSON.stringify(token).slice(1, -1);
  return text.includes(written) ? blankInStrings(text, written) : text;
}

/** Text for people (a topic, a detail) without tokens: the one presented, and any that the registry issued. */
export function hide(text: string, token: string | undefined): string {
  const shown =
    token === undefined || token.length < tokenCharsSearched ? text : text.replaceAll(token, blank);
  return shown.includes("tok-") ? shown.replace(wholeToken, `tok-${blank}`) : shown;
}

/** Characters written as escapes in plain, and those that need an escape as JSON.stringify writes it; the JSON value stays the same. */
function spellOut(line: string): string {
  return line.replace(
    /\\(?:u([0-9a-f]{4})|(.))/gi,
    (escape, hex: string | undefined, letter: string | undefined) => {
      if (hex === undefined) return letter === "/" ? "/" : escape;
      const unit = Number.parseInt(hex, 16);
      const char = String.fromCharCode(unit);
      return unit < 0x20 || unit === 0x22 || unit === 0x5c ? JSON.stringify(char).slice(1, -1) : char;
    },
  );
}

function blankValues(text: string): string {
  const first = text.search(tokenNameAnyCase);
  if (first < 0) return text;
  const rest = first + tokenName.length;
  plainValue.lastIndex = rest;
  const value = plainValue.exec(text);
  const isOnly = value !== null && text.charAt(first - 1) === '"' && !tokenNameAnyCase.test(text.slice(rest));
  if (!isOnly) return blankEveryValue(text);
  const end = rest + value[0].length - 1;
  return `${text.slice(0, end - (value[1] ?? "").length)}${blank}${text.slice(end)}`;
}

function blankEveryValue(text: string): string {
  let out = "";
  let kept = 0;
  for (let open = text.indexOf('"'); open >= 0; open = text.indexOf('"', open)) {
    const end = endOfString(text, open);
    const colon = skipBlank(text, end);
    const string = text.slice(open, end);
    if (text.charAt(colon) === ":" && string.toLowerCase() === `"${tokenName}"`) {
      const from = skipBlank(text, colon + 1);
      open = endOfValue(text, from);
      if (text.slice(from, open) === "null") continue;
      out += `${text.slice(kept, from)}"${blank}"`;
      kept = open;
    } else {
      out += text.slice(kept, open) + (tokenNameAnyCase.test(string) ? scrubString(string) : string);
      kept = open = end;
    }
  }
  return out + text.slice(kept);
}

/** A JSON string that speaks of a token, perhaps JSON within JSON. Where nothing is to be blanked it stays as it was spelled. */
function scrubString(string: string): string {
  const scrubbed = scrub(String(JSON.parse(string)));
  return scrubbed.includes(blank) ? JSON.stringify(scrubbed) : string;
}

/** Only within strings: a token of digits must not break a number in two. */
function blankInStrings(text: string, written: string | RegExp, instead = blank): string {
  let out = "";
  let kept = 0;
  for (let open = text.indexOf('"'); open >= 0; open = text.indexOf('"', kept)) {
    const end = endOfString(text, open);
    out += text.slice(kept, open) + hiddenIn(text.slice(open, end), written, instead);
    kept = end;
  }
  return out + text.slice(kept);
}

/** Where the match began within an escape (the "t" of a tab's), what would be left is no JSON: the whole string goes then. */
function hiddenIn(string: string, written: string | RegExp, instead: string): string {
  const hidden = string.replaceAll(written, instead);
  if (hidden === string) return string;
  try {
    JSON.parse(hidden);
    return hidden;
  } catch {
    return `"${blank}"`;
  }
}

/** A whole JSON string, even one that is cut off; what has no such quotes is left to `namedValue`. */
const quotedValue = /(provision[_-]?token"\s*:\s*")((?:[^"\\]|\\.)+)/gi;
const namedValue =
  /(provision[_-]?token[\\"'\s]*[:=>][\\"'\s[]*|provision[_-]?token\s+)([^\\"'\s<>,;&}\]]+)/gi;
const issuedToken = /tok-[\w-]{4,}/g;

/**
 * Text that is not JSON, without what looks like a token: what follows the word provision_token (and the same characters wherever
 * else they stand), and whatever begins with "tok-" as the tokens do that a registry hands out.
 */
export function scrub(text: string): string {
  const plain = escapedAscii.test(text) ? spellOut(text) : text;
  const found = [quotedValue, namedValue].flatMap((value) =>
    [...plain.matchAll(value)].map((match) => match[2] ?? ""),
  );
  let out = plain.replace(quotedValue, `$1${blank}`).replace(namedValue, `$1${blank}`);
  out = out.replace(issuedToken, `tok-${blank}`);
  for (const value of found.slice(0, 16)) out = hide(out, value);
  return out;
}

/** What was not a JSON object, as one: the scrubbed text under `_raw`; `bytes` where the text is only the beginning of that many. */
export function rawPayload(text: string, bytes?: number): string {
  const shown = scrub(legible(text)).replaceAll("\0", "\uFFFD").toWellFormed();
  return JSON.stringify(bytes === undefined ? { _raw: shown } : { _raw: shown, _bytes: bytes });
}

const lenient = new TextDecoder("utf-8");
const utf8 = new TextEncoder();

/** A payload as it may be passed on to others than the judge: the very same bytes where nothing in it looks like a token. */
export function withoutTokens(payload: Uint8Array): Uint8Array {
  const text = lenient.decode(payload);
  const isSuspect = [tokenNameAnyCase, escapedAscii, /tok-|\0/].some((sign) => sign.test(text));
  return isSuspect ? utf8.encode(passedOn(text)) : payload;
}

function passedOn(text: string): string {
  let body: { readonly provision_token?: unknown } | null;
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    return scrub(legible(text));
  }
  const token = body?.provision_token;
  return redact(text, typeof token === "string" && token !== "" ? token : undefined);
}

/** UTF-16 reads as text with U+0000 between its characters: what it spells must not escape the search. */
function legible(text: string): string {
  if (!text.includes("\0")) return text;
  const spelled = text.replaceAll("\0", "");
  return tokenNameAnyCase.test(spelled) || spelled.includes("tok-") ? spelled : text;
}

/** The text that `rawPayload` keeps, or else the payload itself. */
export function rawText(payload: string): string {
  if (!payload.startsWith('{"_raw":')) return payload;
  const { _raw: raw, _bytes, ...rest } = JSON.parse(payload) as Record<string, unknown>;
  return typeof raw === "string" && Object.keys(rest).length === 0 ? raw : payload;
}
