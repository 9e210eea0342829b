/** Why nothing can listen at an address, and what to do: at a start, and for `sluice check`. */
import { isIP } from "node:net";
import { hostPort, type ListenAddress } from "./listen.ts";
import { explain } from "../log/log.ts";

/** By their words, for some of Bun's errors have no code. */
const remedies: readonly (readonly [theirs: RegExp, remedy: string])[] = [
  [/EADDRINUSE|in use/, "another program listens there: stop it, or choose another port"],
  [/EADDRNOTAVAIL/, "no network interface of this host has that address (yet)"],
  [/EACCES|permission denied/, "this user may not listen there, as below 1024: choose a higher port"],
];

export function cannotListen(setting: string, where: ListenAddress, cause: unknown): Error {
  const words = explain(cause);
  // Of a name that does not resolve Bun says whatever went wrong before.
  const other = isIP(where.host) === 0 ? "the host name does not resolve" : "choose another address";
  const remedy = remedies.find(([theirs]) => theirs.test(words))?.[1] ?? other;
  return new Error(`${setting}: cannot listen on ${hostPort(where)}: ${remedy} (${words})`, { cause });
}
