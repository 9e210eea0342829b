/**
 * Which cached device has a token, by the token's hash: for devices that show a token alone, also while the registry is away.
 *
 * Of a hash that two cached rows have nothing is said, until the index is made anew: the registry is to be asked, which sees all
 * rows.
 */
import type { DeviceAuth } from "../core/device.ts";

type Tokens = Pick<DeviceAuth, "tokenHash" | "previousTokenHash">;

export class TokenIndex {
  /** Hash → key of the device; null: several devices have it. */
  readonly #owners = new Map<string, string | null>();

  constructor(rows: Iterable<readonly [string, Tokens]>) {
    for (const [key, row] of rows) this.add(key, row);
  }

  add(key: string, row: Tokens): void {
    for (const hash of hashesOf(row)) this.#owners.set(hash, this.#owners.has(hash) ? null : key);
  }

  remove(key: string, row: Tokens): void {
    for (const hash of hashesOf(row)) if (this.#owners.get(hash) === key) this.#owners.delete(hash);
  }

  ownerOf(tokenHash: string): string | undefined {
    return this.#owners.get(tokenHash) ?? undefined;
  }
}

/** A registry may spell hex in upper case. A token that was rotated to itself is one. */
function hashesOf({ tokenHash, previousTokenHash }: Tokens): Set<string> {
  const hashes = [tokenHash, previousTokenHash].flatMap((hash) => hash?.toLowerCase() ?? []);
  return new Set(hashes);
}
