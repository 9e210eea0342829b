/**
 * Words on the command line whose bytes are not UTF-8. The runtime reads them as others (U+FFFD): a backup would go to another directory, and a
 * device be registered by a name that it does not have.
 */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { printable } from "../core/text/terminal.ts";

/** @param words as the runtime read them. @returns why they are refused; undefined if they are as they were written */
export function unreadableWord(words: readonly string[]): string | undefined {
  const word = words.find((given) => given.includes("\uFFFD"));
  // Somebody may mean that very character, as in a name that was registered so.
  if (word === undefined || isUtf8(commandLine())) return undefined;
  return `error: ${printable(word)}: holds bytes that are not UTF-8, which would be read as others: write it in UTF-8\n`;
}

/** Empty if there is no /proc. */
function commandLine(): Uint8Array {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return new Uint8Array();
  }
}
