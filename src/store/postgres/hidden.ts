/**
 * What row-level security hides. It is silent: where no policy shows a role any row, the table is empty to it. So who finds nothing asks
 * whether that is why: a policy that somebody makes would else have all devices of a site unregistered.
 */
import type { Postgres } from "./postgres-client.ts";

/** What a gateway reads, and what becomes of it if it sees none. */
const shown = {
  device_registry: "no device, so all would be unknown",
  app_settings: "no setting, so what they say would not be in force",
};

/**
 * Of a table that is there.
 * @throws if it has no policy for this role, or has rows of which none is shown; one may count a second late. What is rolled back is no row
 * here, though it takes room.
 */
export async function mustBeShown(db: Postgres, name: keyof typeof shown): Promise<void> {
  const hidden = await db.ask(
    "asking what row-level security hides",
    `select 1 from (select to_regclass('${name}')::oid as reg) as t where row_security_active(reg) and (
      not exists (select from pg_policy where polrelid = reg and polcmd in ('r', '*') and polpermissive
        and (polroles = '{0}' or exists (select from unnest(polroles) as r where pg_has_role(r, 'member'))))
      or pg_stat_get_live_tuples(reg) > 0 and not exists (select from ${name}))`,
  );
  if (hidden.length === 0) return;
  throw new Error(
    `PostgreSQL at ${db.place}: row-level security of ${name} shows this role ${shown[name]}: create a policy for select that shows them, or disable it`,
  );
}
