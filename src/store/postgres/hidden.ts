/**
 * What row-level security hides. It is silent: where no policy shows a role any row, the table is empty to it. So who finds nothing asks
 * whether that is why: once somebody turns it on, all devices of a site would else be unregistered. A look-up asks only for a policy:
 * one that shows a role its own tenant shows it no device before the first is registered, by AUTO_PROVISION or by hand.
 */
import type { Postgres } from "./postgres-client.ts";

/** What a gateway reads, and what becomes of it if it sees none. */
const shown = {
  device_registry: "no device, so all would be unknown",
  app_settings: "no setting, so what they say would not be in force",
};
type Name = keyof typeof shown;

const without = `not exists (select from pg_policy where polrelid = reg and polcmd in ('r', '*') and polpermissive
  and (polroles = '{0}' or exists (select from unnest(polroles) as r where pg_has_role(r, 'member'))))`;

/** Of a table that is there. @throws if it has no policy for this role */
export const mustHavePolicy = (db: Postgres, name: Name) => throwIf(db, name, without);

/**
 * Of a table that is there.
 * @throws if it has no policy for this role, or has rows of which none is shown; a row may count a second late. What is rolled back is no row
 * here, though it takes room.
 */
export const mustBeShown = (db: Postgres, name: Name) =>
  throwIf(db, name, `(${without} or pg_stat_get_live_tuples(reg) > 0 and not exists (select from ${name}))`);

async function throwIf(db: Postgres, name: Name, hidden: string): Promise<void> {
  const rows = await db.ask(
    "asking what row-level security hides",
    `select 1 from (select to_regclass('${name}')::oid as reg) as t where row_security_active(reg) and ${hidden}`,
  );
  if (rows.length === 0) return;
  throw new Error(
    `PostgreSQL at ${db.place}: row-level security of ${name} shows this role ${shown[name]}: create a policy for select that shows them, or disable it`,
  );
}
