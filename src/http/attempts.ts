/**
 * How often a client may present a wrong token. A fixed window a client address, bounded in clients: enough against
 * guessing 192 random bits, and a mistyped token is forgiven within a minute.
 */
import type { Clock } from "../core/clock.ts";

const failuresMax = 10;
const windowMs = 60_000;
const clientsMax = 10_000;

export interface Attempts {
  /** How long this client must wait; 0: it may try. */
  waitMs(address: string): number;
  failed(address: string): void;
}

export function createAttempts(clock: Clock): Attempts {
  const windows = new Map<string, { failures: number; endsMs: number }>();

  function current(client: string) {
    const found = windows.get(client);
    if (found !== undefined && clock.monoMs() < found.endsMs) return found;
    windows.delete(client);
    return undefined;
  }

  return {
    waitMs(address) {
      const found = current(network(address));
      if (found === undefined || found.failures < failuresMax) return 0;
      return found.endsMs - clock.monoMs();
    },
    failed(address) {
      const client = network(address);
      const found = current(client);
      if (found !== undefined) {
        found.failures += 1;
        return;
      }
      const oldest = windows.size >= clientsMax ? windows.keys().next().value : undefined;
      if (oldest !== undefined) windows.delete(oldest);
      windows.set(client, { failures: 1, endsMs: clock.monoMs() + windowMs });
    },
  };
}

/** One IPv6 host owns a whole /64, so its first four groups are the client; an IPv4 address stands for itself. */
function network(address: string): string {
  const v4 = /(?:^|:)(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [head = [], tail = []] = address.split("::").map((part) => (part === "" ? [] : part.split(":")));
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail].slice(0, 4).join(":");
}
