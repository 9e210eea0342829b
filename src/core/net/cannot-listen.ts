/** Why nothing can listen at an address, and what to do: at a start, and for `sluice check`. */
import { isIP } from "node:net";
import { hostPort, type ListenAddress } from "./listen.ts";
import { explain } from "../log/log.ts";

/** By their words, for some of Bun's errors have no code. */
const remedies: readonly (readonly [theirs: RegExp, remedy: string])[] = [
  [/EADDRINUSE|in use/, "another program listens there: stop it, or choose another port"],
  [/EACCES|permission denied/, "this user may not listen there, as below 1024: choose a higher port"],
];

export function cannotListen(setting: string, where: ListenAddress, cause: unknown): Error {
  const words = explain(cause);
  const remedy = remedies.find(([theirs]) => theirs.test(words))?.[1] ?? whyNoAddress(where.host, words);
  return new Error(`${setting}: cannot listen on ${hostPort(where)}: ${remedy} (${words})`, { cause });
}

function whyNoAddress(host: string, words: string): string {
  // Of a name that does not resolve Bun says whatever went wrong before.
  if (isIP(host) === 0) return "the host name does not resolve to an address of this host (yet)";
  return words.includes("EADDRNOTAVAIL")
    ? "no network interface of this host has that address (yet)"
    : "choose another address";
}
