/**
 * Whose tokens these are, in PostgreSQL: one query for every token that waits, by the indexes that `migrate` makes. Without
 * them it is one read of the table for all, as a hash join, which registry/token-owners.ts bounds.
 *
 * A device_registry without the overlap columns (an existing deployment, not migrated) is asked for the token alone. That is found
 * out each time: columns may be added while the gateway runs. Rejected alternative: the row as JSON, as in find.ts, which
 * no index serves.
 */
import { toFields, type Columns } from "../../core/columns.ts";
import type { TokenOwner } from "../../core/registry.ts";
import { arrayText, literal } from "./literals.ts";
import type { Postgres } from "./postgres-client.ts";
import { columnsQuery, isOverlapAmong, type ColumnRow } from "./migrate.ts";

const byToken = `select wanted.hash, r.tenant_id, r.device_id
  from wanted join device_registry r on r.provision_token_hash = wanted.spelled`;
const byPreviousToken = `select wanted.hash, r.tenant_id, r.device_id
  from wanted join device_registry r on r.previous_token_hash = wanted.spelled
  where r.previous_token_until > now()`;

/** As it is asked for and as it may stand in the table: hex is read in both cases. `union` names a device once that has a token twice. */
export async function findOwners(db: Postgres, tokenHashes: readonly string[]): Promise<TokenOwner[]> {
  const columns = await db.ask<ColumnRow>("looking for columns", columnsQuery);
  const branches = [byToken, ...(isOverlapAmong(columns) ? [byPreviousToken] : [])];
  const rows = await db.ask<Columns<TokenOwner>>(
    "looking up tokens",
    `with given as (select unnest(${literal(arrayText(tokenHashes))}::text[]) as hash),
        wanted as (select hash, hash as spelled from given union all select hash, upper(hash) from given)
      select hash as provision_token_hash, tenant_id, device_id
      from (${branches.join(" union ")}) as found`,
  );
  return rows.map((row) => toFields(row));
}
