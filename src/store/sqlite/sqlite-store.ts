/**
 * The local store: registry and tables in one SQLite file beside the spool, over one connection, for a site without a PostgreSQL.
 * Every transaction is one synchronous call, so the parts cannot meet in the middle of one. Rejected alternative: a connection per
 * part, whose writes then wait for one another as for those of another process.
 */
import { systemClock, type Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log/log.ts";
import { watchFiles, whenNotBusy } from "../../core/file/sqlite.ts";
import type { Store } from "../../core/store.ts";
import { createTablesSink } from "../tables-sink.ts";
import { censusIn, naming, onFile, openLocalFile } from "./local-file.ts";
import { createRetention } from "./retention.ts";
import { createSqliteEvents } from "./sqlite-events.ts";
import { createSqliteQuarantine } from "./sqlite-quarantine.ts";
import { createSqliteRegistry } from "./sqlite-registry.ts";
import { createSqliteTables } from "./sqlite-tables.ts";

export interface SqliteStoreOptions {
  /** Made if it is missing. */
  readonly path: string;
  readonly gatewayId: string;
  readonly clock?: Clock;
  readonly log: Log;
}

/** @throws if the file cannot be opened or is damaged */
export function openSqliteStore({ path, gatewayId, clock = systemClock, log }: SqliteStoreOptions): Store {
  const { db, created } = openLocalFile(path);
  const checkFiles = watchFiles(path, "put it back, or a backup, and restart this gateway");
  return {
    title: "the local store",
    place: path,
    registry: createSqliteRegistry({ db, checkFiles, clock }),
    tables: createTablesSink(createSqliteTables({ db, path, checkFiles, gatewayId, clock })),
    quarantine: createSqliteQuarantine(db),
    events: createSqliteEvents(db, clock),
    migrate: () => Promise.resolve(created),
    inspect: () =>
      Promise.resolve({
        missingTables: [],
        mayCreate: true,
        untold: null,
        missesReplicas: false,
        findsTokens: true,
      }),
    probe: () => onFile(db, () => censusIn(db)),
    keepRetention: (bounds) => naming(db, () => createRetention({ db, path, bounds, clock, log })),
    close: () => whenNotBusy(() => db.close()),
  };
}
