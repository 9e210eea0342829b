/**
 * Reads COPY's text format back. It is written from PostgreSQL's documentation ("COPY", File Formats, Text Format),
 * independently of the encoder, and as strict as the server: bare carriage returns, U+0000, an end-of-data mark and
 * halves of surrogate pairs are errors.
 */
const letters: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

export type Row = readonly (string | null)[];

export function readCopy(text: string): Row[] {
  if (/[\r\0]/.test(text)) throw new Error("a bare carriage return or U+0000");
  if (!text.isWellFormed()) throw new Error("half of a surrogate pair");
  const lines = text.split("\n");
  if (lines.pop() !== "") throw new Error("the last row does not end");
  return lines.map((line) => {
    if (line === "\\.") throw new Error("the end-of-data mark");
    return line.split("\t").map(readField);
  });
}

function readField(field: string): string | null {
  if (field === "\\N") return null;
  let out = "";
  for (let at = 0; at < field.length; at++) {
    const char = field.charAt(at);
    if (char !== "\\") {
      out += char;
      continue;
    }
    const next = field.charAt(++at);
    if (next === "" || /[0-7x]/.test(next)) throw new Error(`an escape that was not meant: \\${next}`);
    out += letters[next] ?? next;
  }
  return out;
}
