/** The two review queues of a running gateway: dead letters and quarantine. */
import type { Log } from "../../core/log/log.ts";
import type { Store } from "../../core/store.ts";
import type { DeadLetterQueue } from "./dead-letter-rows.ts";
import type { QuarantineQueue } from "./quarantine-rows.ts";
import type { Ingest } from "../../intake/ingest.ts";
import type { Judge } from "../../judge/contract.ts";
import type { DeviceLookup } from "../../core/registry.ts";
import type { Spool } from "../../spool/spool.ts";
import { createDeadLetterQueue } from "./dead-letter-queue.ts";
import { createQuarantineQueue } from "./quarantine-queue.ts";

export interface ReviewQueues {
  readonly deadLetters: DeadLetterQueue;
  readonly quarantine: QuarantineQueue;
}

export interface QueueParts {
  readonly store: Pick<Store, "tables" | "quarantine">;
  readonly spool: Spool;
  readonly sinks: readonly { readonly name: string }[];
  readonly ingest: Pick<Ingest, "requeue">;
  readonly registry: Pick<DeviceLookup, "find">;
  readonly judge: Pick<Judge, "reread">;
  readonly log: Log;
}

export function createReviewQueues({
  store,
  spool,
  sinks,
  ingest,
  registry,
  judge,
  log,
}: QueueParts): ReviewQueues {
  return {
    deadLetters: createDeadLetterQueue({
      deadLetters: spool.deadLetters,
      sinks: sinks.map(({ name }) => name),
      requeue: (entries, letters) =>
        ingest.requeue(entries, (books) => entries.forEach(() => books.replay()), letters),
    }),
    quarantine: createQuarantineQueue({
      table: store.quarantine,
      registry,
      judge,
      requeue: (entries, count) => ingest.requeue(entries, count),
      settledTo: () => spool.cursorOf(store.tables.name).seq,
      head: () => spool.head,
      log,
    }),
  };
}
