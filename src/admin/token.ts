/** A device's new token. What the registry keeps is its SHA-256; the token itself is shown once, to whoever asked for it. */
import { createHash, randomBytes } from "node:crypto";

/** 192 random bits: too many to guess, so that the plain SHA-256 which the registry has always held is enough. */
export function newToken(): { token: string; tokenHash: string } {
  const token = `tok-${randomBytes(24).toString("base64url")}`;
  return { token, tokenHash: createHash("sha256").update(token).digest("hex") };
}
