/**
 * The numbers of rows, which the server gives. Its sequence may be behind the rows: a logical replica that took over has it from the
 * beginning, and a restore beside a gateway that writes sets it back. Then numbers are given that are taken, and entries refused with
 * which nothing is wrong. Those numbers are used up here, which needs no right besides USAGE and never sets a sequence back, as `setval`
 * could beside another writer. A gap that is not used up in one time-out goes on with the next delivery.
 */
import { type Postgres, serverError } from "./postgres-client.ts";

const numbered = ["raw_events", "quarantine_events"];

/** Also one that the column does not own: `create table raw_events (like other including all)` goes on with the sequence of the other. */
const sequenceOf = (table: string) => `coalesce(pg_get_serial_sequence('${table}', 'id')::regclass, (
  select d.refobjid::regclass from pg_attribute a
  join pg_attrdef v on v.adrelid = a.attrelid and v.adnum = a.attnum
  join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = v.oid
  join pg_class s on d.refclassid = 'pg_class'::regclass and s.oid = d.refobjid and s.relkind = 'S'
  where a.attrelid = '${table}'::regclass and a.attname = 'id'))`;

/** The first parenthesis names the column of the key; what follows may be a device's words. */
const keyIsId = /^[^(]*\(id\)=\(\d+\)/;

/** A number that the server itself gave is that of another row. */
export function isNumberTaken(error: unknown): boolean {
  const { code, detail = "" } = serverError(error) ?? {};
  return code === "23505" && keyIsId.test(detail);
}

/** @returns whether every number up to the newest row's is used up */
export async function useUpNumbers(db: Postgres): Promise<boolean> {
  try {
    for (const table of numbered)
      await db.transaction("using up the numbers of rows", (sql) =>
        sql.unsafe(`select count(nextval(sequence)) from (
          select sequence, generate_series(nextval(sequence), newest) from (
            select ${sequenceOf(table)} as sequence, max(id) as newest from ${table}) as t) as taken`),
      );
    return true;
  } catch {
    // The refusal says what is wrong.
    return false;
  }
}
