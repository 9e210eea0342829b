/**
 * ADMIN_TOKEN and READ_TOKEN as they are presented: how they are compared, and what whoever presents too many wrong ones is told.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { problem } from "./problem.ts";

/**
 * Tells whether a text is one of the tokens. Hashes before comparing: digests have one length, whatever was sent. And compares with all of
 * them. So the time taken reveals nothing.
 */
export function tokenCheck(tokens: readonly string[]): (given: string) => boolean {
  const wanted = tokens.map(sha256);
  return (given) => {
    const digest = sha256(given);
    return wanted.map((each) => timingSafeEqual(each, digest)).includes(true);
  };
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** @param waitMs see `Attempts` */
export function tooManyWrong(waitMs: number): Response {
  const seconds = Math.ceil(waitMs / 1000);
  return problem(429, `Too many wrong tokens from this address: try again in ${seconds} s.`, {
    headers: { "retry-after": String(seconds) },
  });
}
