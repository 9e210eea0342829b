/**
 * How entries are written by the settings: which of them, into which database, with which tags, types and times. The sink and
 * `sluice spool export` share it, so that an export is what the sink would have sent.
 */
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import type { Entry } from "../../core/entry.ts";
import type { Log } from "../../core/log/log.ts";
import type { Values } from "../../core/settings.ts";
import { isWithoutDatabases } from "./api.ts";
import { createCollisions, type Collisions } from "./collisions.ts";
import { badNameOf } from "./grammar.ts";
import { type influxSettings, tablesOf } from "./settings.ts";
import { createTypeMap, type TypeMap } from "./types.ts";

export interface Encoding {
  /** The database of an entry; null if it has no line. */
  databaseOf(entry: Entry): string | null;
  /** Tenants share a database, so the tenant is the first tag. */
  readonly tenantTag: boolean;
  readonly types: TypeMap;
  readonly collisions: Collisions;
}

export interface EncodingOptions {
  readonly settings: Values<typeof influxSettings>;
  /** Where the column types are kept. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent: the tenant is a tag if the settings let tenants share a database. */
  readonly tenantTag?: boolean;
  /** Absent: what the server that the settings name cannot have. */
  readonly badName?: RegExp | null;
}

/** Tenants whose database's name is kept. */
const tenantsMax = 1_000;

export function createEncoding({ settings, dataDir, clock, log, ...given }: EncodingOptions): Encoding {
  const { api, database, tables, integerFields, onCollision } = settings;
  const measurements = new Set<string | null>(tablesOf(tables));
  const [prefix = "", suffix] = database.split("{tenant_id}");
  const isOne = isWithoutDatabases(api);
  const isShared = suffix === undefined || isOne;
  const { tenantTag = isShared, badName = badNameOf(api) } = given;
  const name = isOne ? api : prefix;
  /** To join the name for each entry cost more than all else that is decided here. */
  const ofTenants = new Map<string | null, string>();

  function ofTenant(tenantId: string | null): string {
    const known = ofTenants.get(tenantId);
    if (known !== undefined) return known;
    const joined = prefix + (tenantId ?? "") + suffix;
    if (ofTenants.size < tenantsMax) ofTenants.set(tenantId, joined);
    return joined;
  }

  return {
    databaseOf({ kind, msgType, tenantId }) {
      if (kind !== "event" || !measurements.has(msgType)) return null;
      return isShared ? name : ofTenant(tenantId);
    },
    tenantTag,
    types: createTypeMap({
      path: join(dataDir, "influx-types.json"),
      integerFields: integerFields.split(",").map((field) => field.trim()),
      badName,
      reserved: ["time", "device_id", "site_id", ...(tenantTag ? ["tenant_id"] : [])],
      clock,
      log,
    }),
    collisions: createCollisions(onCollision),
  };
}
