/** Values as they stand in a statement: as literals, which take a column's type whatever type a site has given it, such as an enum or a domain. */

/** A PostgreSQL array of text as a parameter: postgres.js knows array types only with `fetch_types`. */
export function arrayText(values: readonly (string | number | null)[]): string {
  const items = values.map((v) => (v === null ? "NULL" : `"${String(v).replace(/["\\]/g, "\\$&")}"`));
  return `{${items.join(",")}}`;
}

/** A text as a literal in a statement; null: as `null`. PostgreSQL refuses U+0000 by name if it is escaped, and it would end the statement if not. */
export function literal(value: string | null): string {
  if (value === null) return "null";
  return `E'${value.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll("\0", "\\000")}'`;
}

/** By column. */
export type Row = Readonly<Record<string, string | number | null>>;

/** Inserts these rows, in their order. Without any it is refused all the same where a table, a column or a right is lacking. */
export function insertOf(table: string, columns: readonly string[], rows: readonly Row[]): string {
  const into = `insert into ${table} (${columns.join(", ")})`;
  if (rows.length === 0) return `${into} select ${columns.map(() => "null").join(", ")} where false`;
  return `${into} values ${rows.map((row) => `(${columns.map((name) => textOf(row[name])).join(", ")})`).join(", ")}`;
}

const textOf = (value: string | number | null | undefined) =>
  literal(value === null || value === undefined ? null : String(value));
