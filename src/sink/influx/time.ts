/** The time of an event as a database can hold it. */
import type { Entry } from "../../core/entry.ts";
import type { Grammar } from "./grammar.ts";
import { Unwritable } from "./names.ts";

/**
 * The years that 64-bit nanoseconds can hold end on 2262-04-11 at 23:47:16. InfluxDB 3 divides time into pieces of ten minutes, and a
 * point in the last, incomplete one kills its write-ahead log for good half an hour later: nothing of it may be sent.
 */
export const endMs = Date.UTC(2262, 3, 11, 23, 40);

/** The time of an event. @throws {Unwritable} if no database holds it. */
export function msOf(entry: Entry, { fromMs }: Grammar): number {
  const ms = entry.eventMs ?? entry.receivedMs;
  if (ms >= fromMs && ms < endMs) return ms;
  const years = `${new Date(fromMs).getUTCFullYear()} to 2262-04-11T23:40:00Z`;
  throw new Unwritable(`event time ${ms} ms is outside of ${years}, which is what the database can hold`);
}

/** Within the ms of an event, as the server keeps it: what it would make one time must be seen to be one. */
export const nsOf = ({ eventNs: ns }: Entry, { stepNs }: Grammar) => (stepNs === 1 ? ns : ns - (ns % stepNs));
