/** The two desks of a running gateway: dead letters and quarantine. */
import { join } from "node:path";
import type { Log } from "../../core/log.ts";
import type { Postgres } from "../../store/postgres/client.ts";
import type { LetterDesk } from "../../http/deadletters.ts";
import type { QuarantineDesk } from "../../http/quarantine.ts";
import type { Ingest } from "../../intake/ingest.ts";
import type { Judge } from "../../judge/judge.ts";
import type { DeviceLookup } from "../../core/registry.ts";
import { localQuarantine } from "../../store/sqlite/quarantine.ts";
import { postgresQuarantine } from "../../store/postgres/quarantine.ts";
import type { Spool } from "../../spool/spool.ts";
import { letterDesk } from "./dead-letters.ts";
import { quarantineDesk } from "./quarantine.ts";

export interface Desks {
  readonly deadLetters: LetterDesk;
  readonly quarantine: QuarantineDesk;
  close(): Promise<void>;
}

export interface DeskParts {
  readonly dataDir: string;
  /** Absent: the tables are in the local file. */
  readonly db: Postgres | undefined;
  readonly spool: Spool;
  readonly sinks: readonly { readonly name: string }[];
  readonly ingest: Pick<Ingest, "bringBack">;
  readonly registry: Pick<DeviceLookup, "find">;
  readonly judge: Pick<Judge, "replay">;
  readonly log: Log;
}

export function createDesks({ dataDir, db, spool, sinks, ingest, registry, judge, log }: DeskParts): Desks {
  const table = db ? postgresQuarantine(db) : localQuarantine(join(dataDir, "local.db"));
  const tablesSink = db ? "postgres" : "local";
  return {
    deadLetters: letterDesk({
      letters: spool.deadLetters,
      sinks: sinks.map(({ name }) => name),
      bringBack: (entries, letters) =>
        ingest.bringBack(entries, (books) => entries.forEach(() => books.replay()), letters),
    }),
    quarantine: quarantineDesk({
      table,
      registry,
      judge,
      bringBack: (entries, count) => ingest.bringBack(entries, count),
      settledTo: () => spool.sinkState(tablesSink).seq,
      head: () => spool.head,
      log,
    }),
    close: () => table.close(),
  };
}
