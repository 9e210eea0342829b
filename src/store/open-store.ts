/** The door to both stores, and the only place that chooses: PostgreSQL if DATABASE_URL is set, else the local file. */
import { systemClock, type Clock } from "../core/clock.ts";
import type { Log } from "../core/log/log.ts";
import type { Values } from "../core/settings.ts";
import type { Cursor } from "../core/sink.ts";
import type { Store } from "../core/store.ts";
import type { PostgresOptions, postgresSettings } from "./postgres/postgres-client.ts";
import { openPostgresStore } from "./postgres/postgres-store.ts";
import { localFile, whatIsElsewhere, whatIsLeftBehind, whatIsLost } from "./sqlite/local-file.ts";
import { openSqliteStore } from "./sqlite/sqlite-store.ts";

export interface StoreOptions {
  readonly dataDir: string;
  readonly gatewayId: string;
  /** Read at each use: its url may be renewed. */
  readonly postgres: Values<typeof postgresSettings>;
  readonly clock?: Clock;
  readonly log: Log;
  /** What this site has been through. */
  readonly spool: Pick<SpoolHistory, "cursorOf">;
}

/** The name of the store that the settings ask for; the sink that writes its tables has the same name. */
export function storeNameOf({ url }: { readonly url: string | undefined }): "postgres" | "local" {
  return url === undefined ? "local" : "postgres";
}

/** Of a spool: where what it held was brought, and the last seq that it gave. */
export interface SpoolHistory {
  hasSink(name: string): boolean;
  cursorOf(name: string): Pick<Cursor, "delivered">;
  readonly head: number;
}

/** What keeps this site from the store that its settings ask for, such as that it ran on the other one; undefined: nothing. */
export function whyNotHere({
  postgres,
  dataDir,
  spool,
}: Pick<StoreOptions, "postgres" | "dataDir"> & { readonly spool: SpoolHistory }): string | undefined {
  const name = storeNameOf(postgres);
  if (name === "postgres") return spool.hasSink(name) ? undefined : whatIsLeftBehind(dataDir);
  if (spool.hasSink(name)) return whatIsLost(dataDir);
  const wasElsewhere = spool.hasSink("postgres") && spool.head > 0;
  return wasElsewhere ? whatIsElsewhere(dataDir) : undefined;
}

/** @throws if the local file cannot be opened or is damaged; PostgreSQL is not asked for anything yet */
export function openStore(options: StoreOptions): Store {
  const { dataDir, gatewayId, postgres, clock = systemClock, log } = options;
  const { url } = postgres;
  return url === undefined
    ? openSqliteStore({ path: localFile(dataDir), gatewayId, clock, log })
    : openPostgresStore({ postgres: renewable(options, url, clock), gatewayId, log });
}

/** @param first the url until another is given */
function renewable({ postgres, spool }: StoreOptions, first: string, clock: Clock): PostgresOptions {
  const { poolMax, timeoutMs } = postgres;
  return {
    get url() {
      return postgres.url ?? first;
    },
    poolMax,
    timeoutMs,
    clock,
    ranHere: spool.cursorOf("postgres").delivered > 0,
  };
}
