/**
 * The look-up of devices by their token alone: in bulk and one query at a time, whatever is connecting.
 *
 * A token joins those that wait; one query takes them all. Then the registry rests for a multiple of what the query took: if
 * device_registry has no index on the hashes (a deployment that was not migrated), a query reads the whole table, and a storm of wrong
 * tokens must not keep the server at that. Nothing is kept of an answer: what serves during an outage is the auth cache
 * (token-index.ts), and a token that is nobody's may be somebody's a moment later.
 *
 * Rejected alternative: the flights of lookup.ts, which are one per device, and here the device is what is asked for.
 */
import { sleep, withDeadline, type Clock } from "../core/clock.ts";
import type { DeviceId } from "../core/device.ts";
import type { TokenLookup, TokenOwner } from "../core/registry.ts";
import { queryDeadlineMs } from "./provisioning.ts";

/** Tokens per query. */
export const queryTokensMax = 5_000;
/** Tokens that wait; beyond that a device is told to come again. */
export const waitingTokensMax = 10_000;
/** The first to ask waits so long, so that others can join its query. */
const gatherMs = 1;
const restMinMs = 20;
/** How much longer the registry rests than the query took: a storm has at most a fifth of one connection's time. */
const restShare = 4;
/** After a query that was not answered. */
const restAfterErrorMs = 1_000;

type Owners = readonly DeviceId[];

export interface TokenOwners {
  /** The devices whose token it is: one, if all is well. Rejects if the registry cannot tell now. */
  of(tokenHash: string): Promise<Owners>;
}

interface Parts {
  readonly registry: TokenLookup;
  readonly clock: Clock;
}

export function createTokenOwners({ registry, clock }: Parts): TokenOwners {
  const waiting = new Map<string, PromiseWithResolvers<Owners>>();
  let isRunning = false;

  async function run(): Promise<void> {
    isRunning = true;
    await sleep(clock, gatherMs);
    while (waiting.size > 0) {
      const batch = [...waiting.entries().take(queryTokensMax)];
      for (const [hash] of batch) waiting.delete(hash);
      const startedMs = clock.monoMs();
      const isAnswered = await query(new Map(batch));
      const restMs = Math.max(restMinMs, restShare * (clock.monoMs() - startedMs));
      await sleep(clock, isAnswered ? restMs : restAfterErrorMs);
    }
    isRunning = false;
  }

  async function query(batch: ReadonlyMap<string, PromiseWithResolvers<Owners>>): Promise<boolean> {
    let found: TokenOwner[];
    try {
      found = await withDeadline(clock, queryDeadlineMs, "token look-up", registry.owners([...batch.keys()]));
    } catch (error) {
      for (const { reject } of batch.values()) reject(error);
      return false;
    }
    const owners = Map.groupBy(found, ({ tokenHash }) => tokenHash);
    for (const [hash, { resolve }] of batch) resolve(owners.get(hash) ?? []);
    return true;
  }

  return {
    of(tokenHash) {
      const present = waiting.get(tokenHash);
      if (present !== undefined) return present.promise;
      if (waiting.size >= waitingTokensMax)
        return Promise.reject(new Error(`${waitingTokensMax} tokens wait to be looked up already`));
      const asked = Promise.withResolvers<Owners>();
      waiting.set(tokenHash, asked);
      if (!isRunning) void run();
      return asked.promise;
    },
  };
}
