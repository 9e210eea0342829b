/**
 * A token under a name that the mapping gives (`token = "/auth/key"`): `provision_token` and every other name of a
 * secret is blanked anyway (redact.ts); this adds one key. It is blanked by name even in a payload that is not JSON,
 * because a reject keeps that as well.
 */
import { blank, readable } from "../scrub.ts";
import { secretSign } from "../secret-names.ts";
import type { Steps } from "./pointer.ts";

const utf8 = new TextEncoder();

export function hideUnder(pointer: Steps, text: string): string;
export function hideUnder(pointer: Steps, bytes: Uint8Array): Uint8Array;
export function hideUnder(pointer: Steps, payload: string | Uint8Array): string | Uint8Array {
  const key = pointer.at(-1) ?? "";
  if (secretSign.test(JSON.stringify(key))) return payload;
  if (typeof payload !== "string") return utf8.encode(hideUnder(pointer, readable(payload)));
  const value = new RegExp(
    `(${RegExp.escape(JSON.stringify(key))}\\s*:\\s*)("(?:[^"\\\\]|\\\\.)*"?|[^\\s,}\\]]+)`,
    "g",
  );
  return payload.replace(value, `$1"${blank}"`);
}
