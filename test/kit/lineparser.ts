/**
 * A strict reader of line protocol, written from the grammar as InfluxDB 3 parses it and independently of the
 * encoder, so that the two can be compared. Where versions differ it follows the stricter one: what it accepts, all
 * accept. The fakes of servers name what theirs accepts beyond that (`Leniency`), as 3.10.1 and 2.7.12 do.
 */

/** What a server takes although others do not. */
export interface Leniency {
  /** A tag twice (3: taken, and ruins the table). */
  readonly duplicateTag?: boolean;
  /** A field twice: the last one counts (2). */
  readonly duplicateField?: boolean;
  /** A field with a tag's name, and the names of time: for the store to judge, not for the grammar. */
  readonly anyFieldName?: boolean;
  /** Control characters but TAB and LF in names and tags. */
  readonly controls?: boolean;
  /** 1e400 is an infinity (3). */
  readonly infinity?: boolean;
  /** A line without a time is of now. */
  readonly timeless?: boolean;
  /** A longer string is refused, in these words. */
  readonly stringBytesMax?: number;
}

export type FieldValue =
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "integer"; readonly value: bigint }
  | { readonly type: "boolean"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string };

export interface Point {
  readonly measurement: string;
  readonly tags: ReadonlyMap<string, string>;
  readonly fields: ReadonlyMap<string, FieldValue>;
  readonly time: bigint;
}

/** A point, or what is wrong with the line. `text`: the line as it stood. */
export type Parsed =
  { readonly text: string; readonly point: Point } | { readonly text: string; readonly error: string };

/** The lines of a body; blank ones and comments do not count. */
export function parseLines(body: string, lenient: Leniency = {}): Parsed[] {
  return splitLines(body)
    .filter((text) => text.trim() !== "" && !text.startsWith("#"))
    .map((text) => {
      try {
        return { text, point: parseLine(text, lenient) };
      } catch (error) {
        return { text, error: error instanceof Error ? error.message : String(error) };
      }
    });
}

/**
 * A line ends at a line feed that is neither escaped nor within a quoted string; a quote opens one only where a field's
 * value stands, behind its `=`.
 */
function splitLines(body: string): string[] {
  const lines: string[] = [];
  let start = 0;
  let state: "series" | "key" | "value" | "quoted" = "series";
  for (let at = 0; at < body.length; at += 1) {
    const char = body[at];
    if (char === "\\") at += 1;
    else if (state === "quoted") state = char === '"' ? "value" : "quoted";
    else if (char === "\n") {
      lines.push(body.slice(start, at));
      start = at + 1;
      state = "series";
    } else if (state === "series") state = char === " " ? "key" : "series";
    else if (char === "=") state = "value";
    else if (char === ",") state = "key";
    else if (char === '"' && state === "value") state = "quoted";
  }
  lines.push(body.slice(start));
  return lines;
}

interface Cursor {
  readonly text: string;
  readonly lenient: Leniency;
  at: number;
}

export function parseLine(text: string, lenient: Leniency = {}): Point {
  const cursor = { text, lenient, at: 0 };
  const measurement = name(cursor, ", ", ", ", "measurement");
  const tags = new Map<string, string>();
  while (taken(cursor, ",")) {
    const key = name(cursor, ",= ", "=", "tag key");
    expect(cursor, "=");
    if (tags.has(key) && !lenient.duplicateTag) throw new Error(`duplicate tag '${key}'`);
    tags.set(key, name(cursor, ",= ", ", ", "tag value"));
  }
  expect(cursor, " ");
  const fields = new Map<string, FieldValue>();
  do {
    const key = name(cursor, ",= ", "=", "field key");
    expect(cursor, "=");
    if (fields.has(key) && !lenient.duplicateField)
      throw new Error(`invalid line protocol - multiple instances of '${key}' field found`);
    if ((tags.has(key) || key === "time") && !lenient.anyFieldName)
      throw new Error(`'${key}' cannot be a field`);
    fields.set(key, fieldValue(cursor));
  } while (taken(cursor, ","));
  if (cursor.at === text.length && lenient.timeless) return { measurement, tags, fields, time: nowNs() };
  expect(cursor, " ");
  const digits = text.slice(cursor.at);
  if (!/^-?\d+$/.test(digits)) throw new Error("Could not parse entire line");
  const time = BigInt(digits);
  if (BigInt.asIntN(64, time) !== time) throw new Error("timestamp out of range");
  return { measurement, tags, fields, time };
}

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

function taken(cursor: Cursor, char: string): boolean {
  if (cursor.text[cursor.at] !== char) return false;
  cursor.at += 1;
  return true;
}

function expect(cursor: Cursor, char: string): void {
  if (!taken(cursor, char)) throw new Error(`expected ${JSON.stringify(char)} at ${cursor.at}`);
}

/** `escapable`: what a backslash before it takes literally (and itself); `ends`: where the name ends when bare. */
function name(cursor: Cursor, escapable: string, ends: string, what: string): string {
  let value = "";
  for (; cursor.at < cursor.text.length; cursor.at += 1) {
    const char = cursor.text.charAt(cursor.at);
    const next = cursor.text.charAt(cursor.at + 1);
    if (char === "\\" && next !== "" && (escapable.includes(next) || next === "\\")) {
      value += next;
      cursor.at += 1;
    } else if (ends.includes(char)) break;
    else if ("\t\n".includes(char) || ((char < " " || char === "\u007f") && !cursor.lenient.controls))
      throw new Error(`control character in ${what}`);
    else if (escapable.includes(char)) throw new Error(`bare ${JSON.stringify(char)} in ${what}`);
    else value += char;
  }
  if (value === "") throw new Error(`empty ${what}`);
  if (value.endsWith("\\"))
    throw new Error("Measurements, tag keys and values, and field keys may not end with a backslash");
  return value;
}

function fieldValue(cursor: Cursor): FieldValue {
  if (taken(cursor, '"')) return { type: "string", value: quotedString(cursor) };
  const start = cursor.at;
  while (cursor.at < cursor.text.length && !", ".includes(cursor.text.charAt(cursor.at))) cursor.at += 1;
  const token = cursor.text.slice(start, cursor.at);
  if (/^(t|T|true|True|TRUE)$/.test(token)) return { type: "boolean", value: true };
  if (/^(f|F|false|False|FALSE)$/.test(token)) return { type: "boolean", value: false };
  if (/^-?\d+i$/.test(token)) return { type: "integer", value: int64(token.slice(0, -1)) };
  if (!/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(token)) throw new Error(`invalid field value ${token}`);
  const value = Number(token);
  if (!Number.isFinite(value) && !cursor.lenient.infinity) throw new Error(`float out of range ${token}`);
  return { type: "float", value };
}

function int64(digits: string): bigint {
  const value = BigInt(digits);
  if (BigInt.asIntN(64, value) !== value) throw new Error(`Unable to parse integer value '${digits}'`);
  return value;
}

function quotedString(cursor: Cursor): string {
  let value = "";
  for (; cursor.at < cursor.text.length; cursor.at += 1) {
    const char = cursor.text.charAt(cursor.at);
    const next = cursor.text.charAt(cursor.at + 1);
    if (char === '"') {
      cursor.at += 1;
      if (Buffer.byteLength(value) > (cursor.lenient.stringBytesMax ?? Infinity))
        throw new Error("String is greater than 1MB");
      return value;
    }
    if (char === "\\" && (next === '"' || next === "\\")) {
      value += next;
      cursor.at += 1;
    } else value += char;
  }
  throw new Error("unterminated string");
}
