/**
 * Places in a TOML file: line and column of each key of each [[mapping]], for mistakes that are no mistakes of
 * syntax. The parser keeps no places; this walks through the statements, and skips strings, comments and what
 * brackets enclose.
 */

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface Places {
  /** The place of a key at the top. */
  top(key: string): Place;
  /** The place of a key of the nth mapping; of the mapping itself if the key is not written there. */
  of(mapping: number, key: string): Place;
}

const header = /\[\[\s*(?:mapping|"mapping"|'mapping')\s*\]\]/y;
/** One pair of brackets too few: a mistake, which has its place as a key at the top. */
const single = /\[\s*mapping\s*\]/y;
/** Of a key of the mapping above it, written as a table: [mapping.metrics]. */
const subheader = /\[\s*mapping\s*\.\s*([\w-]+)\s*\]/y;
const bareKey = /(?:[\w-]+|"[^"\n]*"|'[^'\n]*')/y;
const opaque = /"""[\s\S]*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*/y;

export function placesIn(text: string): Places {
  const places = new Map<string, Place>();
  let mapping = -1;
  let depth = 0;
  let begins = true;
  for (let at = 0; at < text.length;) {
    const step = begins && depth === 0 ? statementAt(text, at) : undefined;
    if (step !== undefined) {
      if (step.key === null) mapping += 1;
      const id = idOf(mapping, step.key ?? "");
      if (!places.has(id)) places.set(id, placeAt(text, at));
      begins = false;
      at = step.end;
      continue;
    }
    const char = text.charAt(at);
    if (char === "\n") begins = true;
    else if (char !== " " && char !== "\t" && char !== "\r") begins = false;
    if (char === "[" || char === "{") depth++;
    if (char === "]" || char === "}") depth--;
    at += found(opaque, text, at)?.length ?? 1;
  }
  const start = { line: 1, column: 1 };
  const at = (i: number, key: string) => places.get(idOf(i, key));
  return {
    top: (key) => at(-1, key) ?? start,
    of: (i, key) => at(i, key) ?? at(i, "") ?? at(-1, "mapping") ?? start,
  };
}

const idOf = (mapping: number, key: string) => `${mapping} ${key}`;

/** A header (`key` null) or a key. */
function statementAt(text: string, at: number): { key: string | null; end: number } | undefined {
  const head = found(header, text, at);
  if (head !== undefined) return { key: null, end: at + head.length };
  const lone = found(single, text, at);
  if (lone !== undefined) return { key: "mapping", end: at + lone.length };
  const part = found(subheader, text, at);
  if (part !== undefined) return { key: part.slice(part.indexOf(".") + 1, -1).trim(), end: at + part.length };
  const key = found(bareKey, text, at);
  return key === undefined ? undefined : { key: key.replace(/^(["'])(.*)\1$/, "$2"), end: at + key.length };
}

function found(sticky: RegExp, text: string, at: number): string | undefined {
  sticky.lastIndex = at;
  return sticky.exec(text)?.[0];
}

/** Counted from 1, as editors do. */
function placeAt(text: string, at: number): Place {
  const before = text.slice(0, at);
  return { line: before.split("\n").length, column: at - before.lastIndexOf("\n") };
}
