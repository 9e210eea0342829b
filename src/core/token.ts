/**
 * The token of a device: "tok-" and 24 random bytes in base64url. A registry keeps its SHA-256; the token itself is shown once, to
 * whoever asked for it.
 */
import { randomBytes } from "node:crypto";

/** How every token of ours begins. */
export const tokenStart = "tok-";
/** 192 random bits: too many to guess, so that the plain SHA-256 which the registry has always held is enough. */
const tokenBytes = 24;

/** One in a topic, for `test`. */
export const issuedToken = /tok-[\w-]{32}/;
/** In text, for `replace`: whole ones, or somewhat shorter; no name is as long. */
export const wholeTokens = /tok-[\w-]{24,}/g;
/** In text that may be cut off, for `replace`. */
export const partTokens = /tok-[\w-]{4,}/g;

export function newToken(): { token: string; tokenHash: string } {
  const token = tokenFrom(randomBytes(tokenBytes));
  return { token, tokenHash: hashOf(token) };
}

/** @param bytes 24 of them or more */
export function tokenFrom(bytes: Uint8Array): string {
  return `${tokenStart}${Buffer.from(bytes.subarray(0, tokenBytes)).toString("base64url")}`;
}

/** Lower-case hex SHA-256, as the registry and the spool keep it. */
export function hashOf(token: string): string {
  return Bun.SHA256.hash(token, "hex");
}
