/**
 * How often an address presented a wrong token or password: a fixed window an address, bounded in addresses.
 *
 * Nobody is locked out by it. Whoever asks tests what was presented first, and the right token is let in however many wrong ones
 * came from its address: to refuse it would give every neighbour behind the same router the power to stop an operator. What the
 * count is for: the wrong ones are slowed, counted and told.
 */
import type { Clock } from "../clock.ts";

const wrongMax = 10;
const windowMs = 60_000;
const addressesMax = 10_000;

export interface Attempts {
  /** How long this address has still to wait because of too many wrong ones; 0: it has not. */
  waitMs(address: string): number;
  wrong(address: string): void;
  /** Wrong ones since the start. */
  total(): number;
}

export function createAttempts(clock: Clock): Attempts {
  const windows = new Map<string, { wrong: number; endsMs: number }>();
  let total = 0;

  function current(client: string) {
    const found = windows.get(client);
    if (found !== undefined && clock.monoMs() < found.endsMs) return found;
    windows.delete(client);
    return undefined;
  }

  return {
    waitMs(address) {
      const found = current(networkOf(address));
      if (found === undefined || found.wrong < wrongMax) return 0;
      return found.endsMs - clock.monoMs();
    },
    wrong(address) {
      total += 1;
      const client = networkOf(address);
      const found = current(client);
      if (found !== undefined) {
        found.wrong += 1;
        return;
      }
      const oldest = windows.size >= addressesMax ? windows.keys().next().value : undefined;
      if (oldest !== undefined) windows.delete(oldest);
      windows.set(client, { wrong: 1, endsMs: clock.monoMs() + windowMs });
    },
    total: () => total,
  };
}

/** One IPv6 host owns a whole /64, so its first four groups are the client; an IPv4 address stands for itself. */
export function networkOf(address: string): string {
  const v4 = /(?:^|:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [head = [], tail = []] = address.split("::").map((part) => (part === "" ? [] : part.split(":")));
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail].slice(0, 4).join(":");
}
