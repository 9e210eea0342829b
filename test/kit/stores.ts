/** The parts of a store by themselves, for tests of one part: each closes what it opened. */
import type { Clock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { Registry } from "../../src/core/registry.ts";
import type { Sink } from "../../src/core/sink.ts";
import type { Store } from "../../src/core/store.ts";
import type { Postgres } from "../../src/store/postgres/postgres-client.ts";
import { createPostgresTables } from "../../src/store/postgres/postgres-tables.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { createTablesSink } from "../../src/store/tables-sink.ts";

export interface AtPath {
  readonly path: string;
  readonly clock?: Clock;
}

export function localStore({ path, clock }: AtPath): Store {
  return openSqliteStore({ path, gatewayId: "gw", log: silentLog, ...(clock && { clock }) });
}

export function localSink(at: AtPath): Sink {
  const store = localStore(at);
  return { ...store.tables, close: () => store.close() };
}

export function localRegistry(at: AtPath): Registry & { close(): Promise<void> } {
  const store = localStore(at);
  return { ...store.registry, close: () => store.close() };
}

/** @param db its owner closes it */
export function postgresSink(db: Postgres, gatewayId = "gw"): Sink {
  return createTablesSink(createPostgresTables({ db, gatewayId }));
}
