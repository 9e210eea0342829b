/** The two desks of a running gateway: dead letters and quarantine. */
import type { Log } from "../../core/log.ts";
import type { Store } from "../../core/store.ts";
import type { LetterDesk } from "../../http/deadletters.ts";
import type { QuarantineDesk } from "../../http/quarantine.ts";
import type { Ingest } from "../../intake/ingest.ts";
import type { Judge } from "../../judge/judge.ts";
import type { DeviceLookup } from "../../core/registry.ts";
import type { Spool } from "../../spool/spool.ts";
import { letterDesk } from "./dead-letters.ts";
import { quarantineDesk } from "./quarantine.ts";

export interface Desks {
  readonly deadLetters: LetterDesk;
  readonly quarantine: QuarantineDesk;
}

export interface DeskParts {
  readonly store: Pick<Store, "tables" | "quarantine">;
  readonly spool: Spool;
  readonly sinks: readonly { readonly name: string }[];
  readonly ingest: Pick<Ingest, "bringBack">;
  readonly registry: Pick<DeviceLookup, "find">;
  readonly judge: Pick<Judge, "reread">;
  readonly log: Log;
}

export function createDesks({ store, spool, sinks, ingest, registry, judge, log }: DeskParts): Desks {
  return {
    deadLetters: letterDesk({
      letters: spool.deadLetters,
      sinks: sinks.map(({ name }) => name),
      bringBack: (entries, letters) =>
        ingest.bringBack(entries, (books) => entries.forEach(() => books.replay()), letters),
    }),
    quarantine: quarantineDesk({
      table: store.quarantine,
      registry,
      judge,
      bringBack: (entries, count) => ingest.bringBack(entries, count),
      settledTo: () => spool.sinkState(store.tables.name).seq,
      head: () => spool.head,
      log,
    }),
  };
}
