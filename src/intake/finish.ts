/**
 * The last group before a stop. Acknowledgements go out in the order of the messages, so that a single one that waits for a look-up keeps
 * back those of all that came behind it and are on the disk: the broker would deliver them again, and a gateway on a new disk would not
 * know them. So look-ups that are under way have time to answer, which takes them milliseconds if they do at all.
 */
import { sleep, type Clock } from "../core/clock.ts";
import type { Ingest } from "./ingest.ts";

/** What waits longer is delivered again. */
const lookupsMs = 1_000;
const lookEveryMs = 5;

/** No source gives any more. @returns once all that can be is on the disk */
export async function finish(ingest: Pick<Ingest, "inMemory" | "flush">, clock: Clock): Promise<void> {
  const untilMs = clock.monoMs() + lookupsMs;
  while (ingest.inMemory > 0 && clock.monoMs() < untilMs) await sleep(clock, lookEveryMs);
  ingest.flush();
}
