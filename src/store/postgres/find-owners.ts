/**
 * Whose tokens these are, in PostgreSQL: one query for every token that waits, by the indexes that `migrate` makes. Without
 * them it is one read of the table for all, as a hash join, which registry/token-owners.ts bounds.
 */
import { toFields, type Columns } from "../../core/columns.ts";
import type { TokenOwner } from "../../core/registry.ts";
import { withOverlap } from "./find.ts";
import { arrayText, literal } from "./literals.ts";
import type { Postgres } from "./postgres-client.ts";

/** A `union` names a device once that has a token twice. */
const owners = withOverlap(`select wanted.hash as provision_token_hash, r.tenant_id, r.device_id
    from wanted join device_registry r on r.provision_token_hash = wanted.spelled
  union select wanted.hash, r.tenant_id, r.device_id
    from wanted join device_registry r on previous_token_hash = wanted.spelled where previous_token_until > now()`);

/** As it is asked for and as it may stand in the table: hex is read in both cases. */
export async function findOwners(db: Postgres, tokenHashes: readonly string[]): Promise<TokenOwner[]> {
  const rows = await db.ask<Columns<TokenOwner>>(
    "looking up tokens",
    `with given as (select unnest(${literal(arrayText(tokenHashes))}::text[]) as hash),
        wanted as (select hash, hash as spelled from given union all select hash, upper(hash) from given)
      ${owners}`,
  );
  return rows.map((row) => toFields(row));
}
