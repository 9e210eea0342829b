/**
 * Requests that carry records, at a size that gets through in time: over a slow line the same request would be cut off and begun anew
 * without end, since a time-out ends the connection with all that has come over it.
 */
import { Outage } from "../core/outage.ts";
import { createPace, type Pace } from "../core/pace.ts";
import { createRoom, fetchBytesMax, type Room } from "./read-batch.ts";
import type { Fetched } from "./requests.ts";

export const createFetchPace = (): Pace => createPace(fetchBytesMax);

/** What was to go into one transaction takes longer than that may last: it would be aborted, and begun anew without end. */
export class TooMuch extends Outage {}

/** The brokers want a rest for which a transaction has no time. */
export const overQuota = (restMs: number) =>
  new TooMuch(
    `Kafka: over its quota (producer_byte_rate) this gateway is to rest for ${Math.ceil(restMs / 1000)} s, longer than its transaction may still last: less is sent at a time; raise the quota, or KAFKA_TRANSACTION_TIMEOUT_MS`,
    { retryAfterMs: restMs },
  );

/** Or in the library's words. One that is not connected in time says nothing about sizes. */
export const isTooSlow = (error: unknown) =>
  error instanceof TooMuch || (error instanceof Error && /^(FETCH|PRODUCE) timed out$/.test(error.message));

/** @param size of what is asked for, or sent */
export async function inPace<T>(pace: Pace, size: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isTooSlow(error)) pace.tooMuch(size);
    throw error;
  }
}

/**
 * A broker gives one whole batch at least, whatever is asked for: what cannot get through is one batch only.
 * @param read what it makes of the answer has the room; less is asked for next if that was short
 */
export async function fetchInPace(
  pace: Pace,
  fetch: (bytesMax: number) => Promise<readonly Fetched[]>,
  read: (fetched: readonly Fetched[], room: Room) => Promise<void>,
): Promise<void> {
  const { size } = pace;
  const fetched = await inPace(pace, size, () => fetch(size));
  const room = createRoom();
  await read(fetched, room);
  if (room.wasShort) pace.tooMuch(size);
  else pace.taken(fetched.reduce((sum, { records }) => sum + records.length, 0));
}
