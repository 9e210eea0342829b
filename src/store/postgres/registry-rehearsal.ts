/**
 * Rehearses for `sluice check` what a gateway will ask of the registry: the look-up itself, whose columns and types a count of rows
 * does not need, and what AUTO_PROVISION writes, in a transaction that is rolled back.
 */
import { silentLog } from "../../core/log/log.ts";
import { rehearsal, type Postgres } from "./postgres-client.ts";
import { createTables } from "./migrate.ts";
import { createFind } from "./find.ts";
import { arrayText } from "./literals.ts";
import { insertDevices } from "./postgres-registry.ts";

const madeUp = { tenantId: "sluice-check", deviceId: "sluice-check", siteId: "sluice-check" };

/** @returns whether there is a registry to ask. @throws what stands in the way */
export async function rehearseRegistry(db: Postgres, autoProvision: boolean): Promise<boolean> {
  if (autoProvision) {
    await rehearsal(db, "registering a device for AUTO_PROVISION", async (tx) => {
      await createTables(tx);
      await insertDevices(tx, [madeUp]);
    });
  }
  const found = await visibility(db);
  if (!found.some(({ name }) => name === "device_registry")) return false;
  await createFind({ db, log: silentLog })([madeUp]);
  for (const { name, has_policy, hides_some } of found) {
    if (has_policy !== false && !(hides_some && !(await showsAny(db, name)))) continue;
    throw new Error(
      `PostgreSQL at ${db.place}: row-level security of ${name} shows this role ${shown[name]}: create a policy for select that shows them, or disable it`,
    );
  }
  return true;
}

/** What a gateway reads, and what becomes of it if it sees none. */
const shown = {
  device_registry: "no device, so all would be unknown",
  app_settings: "no setting, so what they say would not be in force",
};

interface Visibility {
  readonly name: keyof typeof shown;
  /** null: row-level security does not concern this role. */
  readonly has_policy: boolean | null;
  /** It does, and the table has rows. */
  readonly hides_some: boolean;
}

/**
 * Of the tables that are there. Row-level security is silent: it hides rows and raises nothing. What is rolled back, as above, is no row
 * here, though it takes room; one may count a second late.
 */
async function visibility(db: Postgres): Promise<Visibility[]> {
  return db.query("asking what hides devices and settings", async (sql) => {
    const rows = await sql<Visibility[]>`
      select name, case when row_security_active(reg) then exists (
          select 1 from pg_policy where polrelid = reg and polcmd in ('r', '*') and polpermissive
            and (polroles = '{0}' or exists (select 1 from unnest(polroles) as r where pg_has_role(r, 'member')))
        ) end as has_policy,
        row_security_active(reg) and pg_stat_get_live_tuples(reg) > 0 as hides_some
      from (select name, to_regclass(name)::oid as reg from unnest(${arrayText(Object.keys(shown))}::text[]) as name) as t
      where reg is not null`;
    return [...rows];
  });
}

async function showsAny(db: Postgres, name: string): Promise<boolean> {
  return (await db.ask("looking for a row", `select 1 from ${name} limit 1`)).length > 0;
}
