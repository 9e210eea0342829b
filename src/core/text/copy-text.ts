/**
 * A value in the text format of COPY (postgresql.org/docs/current/sql-copy.html, "Text Format"): `\N` for null; backslash, tab,
 * newline and carriage return are escaped, so that they can end neither a column nor a row. The spool's records are written so, too.
 */
const unescapes: Readonly<Record<string, string>> = { "\\": "\\", t: "\t", n: "\n", r: "\r" };

/** A value with U+0000 is left as it is: PostgreSQL refuses it. */
export function copyText(value: string | null): string {
  if (value === null) return "\\N";
  return isSpecial(value) ? escaped(value) : value;
}

/** The backslash first, for the others are written with one. A function per character takes twice as long: 51 µs per 8 KB of JSON within JSON. */
function escaped(value: string): string {
  return value
    .replaceAll("\\", "\\\\")
    .replaceAll("\t", "\\t")
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r");
}

/** Four searches for one character each, for in a payload they take half of what one for any of them takes. */
function isSpecial(value: string): boolean {
  return value.includes("\\") || value.includes("\t") || value.includes("\n") || value.includes("\r");
}

export function fromCopyText(text: string): string | null {
  if (!text.includes("\\")) return text;
  return text === "\\N" ? null : text.replace(/\\(.)/g, (_, c: string) => unescapes[c] ?? c);
}
