/** PostgreSQL as a store: registry and tables over one pool of connections. What it holds is kept by whoever administers it. */
import type { Log } from "../../core/log/log.ts";
import type { Census, Store } from "../../core/store.ts";
import { createTablesSink } from "../tables-sink.ts";
import { hearsChanges } from "./changes.ts";
import { openPostgres, type Postgres, type PostgresOptions } from "./postgres-client.ts";
import { inspectPostgres, migratePostgres } from "./migrate.ts";
import { createPostgresEvents } from "./postgres-events.ts";
import { createPostgresQuarantine } from "./postgres-quarantine.ts";
import { createPostgresRegistry } from "./postgres-registry.ts";
import { createPostgresTables } from "./postgres-tables.ts";
import { withCure } from "./postgres-words.ts";
import { rehearseRegistry } from "./registry-rehearsal.ts";

export interface PostgresStoreOptions {
  readonly postgres: PostgresOptions;
  readonly gatewayId: string;
  readonly log: Log;
}

export function openPostgresStore({ postgres, gatewayId, log }: PostgresStoreOptions): Store {
  const db = openPostgres(postgres);
  return {
    title: "PostgreSQL",
    get place() {
      return db.place;
    },
    registry: createPostgresRegistry({ db, log }),
    tables: createTablesSink(createPostgresTables({ db, gatewayId })),
    quarantine: createPostgresQuarantine(db),
    events: createPostgresEvents(db),
    migrate: (isAnew) => migratePostgres(db, isAnew),
    inspect: () => inspectPostgres(db).catch(throwWithCure),
    probe: (autoProvision) => probe(db, autoProvision).catch(throwWithCure),
    close: () => db.close(),
  };
}

function throwWithCure(error: unknown): never {
  throw withCure(error);
}

async function probe(db: Postgres, autoProvision: boolean): Promise<Census> {
  await hearsChanges(db);
  const isThere = await rehearseRegistry(db, autoProvision);
  return isThere ? countDevices(db) : { devices: 0, tenants: 0 };
}

function countDevices(db: Postgres): Promise<Census> {
  return db.query("counting the devices", async (sql) => {
    const [row] = await sql<Census[]>`
      select coalesce(sum(n), 0)::int as devices, count(*)::int as tenants
      from (select count(*) as n from device_registry group by tenant_id) as per_tenant`;
    return row ?? { devices: 0, tenants: 0 };
  });
}
