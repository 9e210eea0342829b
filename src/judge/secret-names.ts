/**
 * Which members of a payload hold a secret: those whose name spells token, password, secret or the like, in any case and with any
 * separator (`provisionToken`, `provision-token`, `wifi_password`). A device that presents its token under a wrong name is rejected,
 * and its token must reach no disk for that.
 */

/** What such a name has in it; a text without it needs no closer look. */
export const secretSign = /token|passw|passphrase|secret|authori[sz]ation|api[_-]?key|pwd/i;

const words = "token|password|passwd|passphrase|secret|authori[sz]ation|apikey|pwd";
const secretName = new RegExp(`(?:${words})s?$`);
const speaksOfOne = new RegExp(words);

/**
 * all: whatever it holds is blanked. text: it only speaks of a secret (`token_count`, `secret_level`): a number in it is none.
 * none: it is like any other.
 */
export type Secrecy = "all" | "text" | "none";

export function secrecyOf(name: string): Secrecy {
  if (!secretSign.test(name)) return "none";
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  if (secretName.test(plain)) return "all";
  return speaksOfOne.test(plain) ? "text" : "none";
}
