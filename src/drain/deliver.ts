/**
 * One delivery to a downstream system: within the sink's deadline, called off when the gateway's patience ends, and its account checked.
 */
import { unlessStopped, withDeadline, type Clock } from "../core/clock.ts";
import { withoutAside } from "./aside.ts";
import type { Delivery, Outcome, Refusal, Sink } from "../core/sink.ts";

export interface Attempt {
  readonly batch: Pick<Delivery, "entries" | "epoch" | "before" | "aside" | "later">;
  /** Puts entries into the dead letters, durable when it returns. */
  readonly refuse: (refusals: readonly Refusal[]) => void;
  readonly clock: Clock;
  /** Aborts when nothing may take any longer. */
  readonly stop: AbortSignal;
}

/** @throws (an outage) if the sink did, did not answer in time, or counted other entries than it was given */
export async function deliver(sink: Sink, { batch, refuse, clock, stop }: Attempt): Promise<Outcome> {
  const refused = new Set<number>();
  const patience = new AbortController();
  const delivery: Delivery = {
    ...batch,
    signal: patience.signal,
    refuse(refusals) {
      refuse(refusals);
      for (const { entry } of refusals) refused.add(entry.seq);
    },
  };
  try {
    const delivering = sink.positions ? sink.deliver(delivery) : withoutAside(sink, delivery);
    const outcome = await unlessStopped(stop, withDeadline(clock, sink.deadlineMs, sink.name, delivering));
    check(sink.name, outcome, batch.entries.length, refused.size);
    return outcome;
  } finally {
    patience.abort();
  }
}

/** Entries that an earlier try refused, of which only the answer was lost, are in the account and not refused again. */
function check(name: string, outcome: Outcome, given: number, refused: number): void {
  const { delivered, ignored, refused: counted } = outcome;
  if (delivered + ignored + counted === given && Math.min(delivered, ignored) >= 0 && counted >= refused)
    return;
  throw new Error(
    `${name} was given ${given} entries, refused ${refused} and accounts for ${JSON.stringify(outcome)}: a fault in Sluice, please report it`,
  );
}
