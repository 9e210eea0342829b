/**
 * Which members of a payload hold a secret: those whose name contains token, password, secret or the like, in any
 * case and with any separator (`provisionToken`, `provision-token`, `wifi_password`). A device that presents its
 * token under a wrong name is rejected, and even then its token must not reach the disk.
 */

/** What every such name contains; text without it needs no closer look. */
export const secretSign = /token|passw|passphrase|secret|authori[sz]ation|api[\s._-]?key|pwd/i;

/** The words of `secretSign`. @param blank stands for white space that is not ASCII */
export function secretWords(blank: string): readonly string[] {
  const keys = ["", " ", ".", "_", "-", blank].map((between) => `api${between}key`);
  const rest = ["token", "passw", "passphrase", "secret", "authorisation", "authorization", "pwd"];
  return [...rest, ...keys];
}

/** Shorter text takes one search. */
const longChars = 256;

/**
 * Does the text hold `secretSign`? Long text is searched in parts: for one of two plain words the engine compares many characters at
 * once, for seven it tries each letter, which took 13 µs per 8 KB of English, 25 µs of it with a °, and 47 µs of `ppp…`: now 3 to 7 µs.
 */
export function namesSecret(text: string): boolean {
  if (text.length < longChars) return secretSign.test(text);
  const bytes = inBytes(text);
  return (
    /token|secret/i.test(bytes) ||
    /passw|passphrase/i.test(bytes) ||
    /authorisation|authorization/i.test(bytes) ||
    /pwd/i.test(bytes) ||
    // What stands in its middle may be any white space of Unicode.
    (/key/i.test(bytes) && /api[\s._-]?key/i.test(text))
  );
}

/**
 * Does it, or would it without what stands between its letters? A name that was damaged on its way, or is written in pieces, names its
 * secret all the same. Only for what is rejected: to squeeze a text costs a microsecond per 300 bytes.
 */
export function mayNameSecret(text: string): boolean {
  return namesSecret(text) || namesSecret(text.replaceAll(/[^a-z0-9"]+/gi, ""));
}

/** Text whose characters are the bytes of the UTF-8: ASCII stands in it as in the text, and is found as quickly beside a ° or Chinese. */
function inBytes(text: string): string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString("latin1");
}

const words = "token|password|passwd|passphrase|secret|authori[sz]ation|apikey|pwd";
const secretName = new RegExp(`(?:${words})s?$`);
const speaksOfOne = new RegExp(words);

/**
 * How secret a value is, by its name. token: the device's own token, whatever its value. secret: text, or a whole
 * number long enough to be one; a metric may be called `pwd` (present weather). about: the name only mentions a
 * secret (`token_count`, `secret_level`), so a number is none. none: any other.
 */
export type Secrecy = "token" | "secret" | "about" | "none";

/** @param name `mayNameSecret` */
export function secrecyOf(name: string): Secrecy {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  if (plain === "provisiontoken") return "token";
  if (secretName.test(plain)) return "secret";
  return speaksOfOne.test(plain) && secretSign.test(name) ? "about" : "none";
}

/** Must a value (as JSON text) be blanked under such a name? Neither null, true nor false is a secret. */
export function isSecret(secrecy: Secrecy, value: string): boolean {
  if (secrecy === "none" || /^[ntf]/.test(value)) return false;
  if (/^["{[]/.test(value) || secrecy === "token") return true;
  return secrecy === "secret" && longNumber.test(value);
}

const longNumber = /^\d{6,}$/;
