/**
 * Which members of a payload hold a secret: those whose name spells token, password, secret or the like, in any case and with any
 * separator (`provisionToken`, `provision-token`, `wifi_password`). A device that presents its token under a wrong name is rejected,
 * and its token must reach no disk for that.
 */

/** What such a name has in it; a text without it needs no closer look. */
export const secretSign = /token|passw|passphrase|secret|authori[sz]ation|api[\s._-]?key|pwd/i;

const words = "token|password|passwd|passphrase|secret|authori[sz]ation|apikey|pwd";
const secretName = new RegExp(`(?:${words})s?$`);
const speaksOfOne = new RegExp(words);

/**
 * token: the device's own, whatever its value. secret: text, or a whole number that is long enough to be one; a metric may be called
 * `pwd` (present weather). about: it only speaks of a secret (`token_count`, `secret_level`): a number in it is none. none: any other.
 */
export type Secrecy = "token" | "secret" | "about" | "none";

/** @param name with `secretSign` in it */
export function secrecyOf(name: string): Secrecy {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  if (plain === "provisiontoken") return "token";
  if (secretName.test(plain)) return "secret";
  return speaksOfOne.test(plain) ? "about" : "none";
}

/** Is a value, as its JSON text, to be blanked under such a name? Neither null, true nor false is a secret. */
export function isSecret(secrecy: Secrecy, value: string): boolean {
  if (secrecy === "none" || /^[ntf]/.test(value)) return false;
  if (/^["{[]/.test(value) || secrecy === "token") return true;
  return secrecy === "secret" && longNumber.test(value);
}

const longNumber = /^\d{6,}$/;
