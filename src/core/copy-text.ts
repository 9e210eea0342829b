/**
 * A value in the text format of COPY (postgresql.org/docs/current/sql-copy.html, "Text Format"): `\N` for null; backslash, tab,
 * newline and carriage return are escaped, so that they can end neither a column nor a row. The spool's records are written so, too.
 */
const specials = /[\\\t\n\r]/g;
const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };
const unescapes: Readonly<Record<string, string>> = { "\\": "\\", t: "\t", n: "\n", r: "\r" };

/** A value with U+0000 is left as it is: PostgreSQL refuses it. */
export function copyText(value: string | null): string {
  if (value === null) return "\\N";
  return isSpecial(value) ? value.replace(specials, (c) => escapes[c] ?? c) : value;
}

/** Four searches for one character each, for in a payload they take half of what one for any of them takes. */
function isSpecial(value: string): boolean {
  return value.includes("\\") || value.includes("\t") || value.includes("\n") || value.includes("\r");
}

export function fromCopyText(text: string): string | null {
  if (!text.includes("\\")) return text;
  return text === "\\N" ? null : text.replace(/\\(.)/g, (_, c: string) => unescapes[c] ?? c);
}
