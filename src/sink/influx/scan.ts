/**
 * Turns a payload's text into the bytes of its line in one pass, in the usual case: plain numbers, booleans and text in columns
 * whose type is known. Everything else (an escape, an exponent, a new column, a value that does not fit, a name twice) is
 * left to encodeLine, which defines what is right: a scanned line reads back as the same values.
 *
 * Parsing the payload, making strings of its numbers, and joining, copying and encoding those took two thirds of what the sink
 * cost. A device's digits are copied as they stand, for both sides read them as the same double. The columns of the device's
 * last message are compared first, so that usually no name is looked up. Where a payload's form is known, no name is read (plan.ts).
 */
import { nanoseconds, type Entry } from "../../core/entry.ts";
import { endOfValue, quote, skipBlank } from "../../core/text/json-scan.ts";
import type { Line } from "./line.ts";
import { planFor, wholeDigitsMax, write } from "./plan.ts";
import { printOf } from "./print.ts";
import type { KnownSeries } from "./series.ts";
import type { KnownColumn, KnownTable } from "./types.ts";
import {
  backslash,
  close,
  comma,
  dot,
  endOf,
  isAt,
  isDigit,
  minus,
  nine,
  open,
  small,
  space,
  zero,
} from "./walk.ts";
import { copyWords, falseWords, trueWords, inWords } from "./words.ts";

export type Memory = Buffer<ArrayBuffer>;

export interface Body {
  /** Adds the series and fields of an event's line. Adds nothing and returns false if it is not the usual case. */
  scan(entry: Entry, table: KnownTable, series: KnownSeries): boolean;
  /** Ends a line that was scanned. */
  end(line: Pick<Line, "ms" | "ns">): void;
  /** The fields of the line that was scanned, if encodeLine writes the same; else null. */
  plainFields(): string | null;
  /** Of the fields of the line that was scanned. */
  names(): readonly string[];
  /** Of the same, as they are written (print.ts). */
  print(): number;
  /** Removes the line that was begun. */
  undo(): void;
  /** Adds a whole line. */
  add(text: string): void;
  /** All lines. */
  bytes(): Memory;
  /** Its memory, if nobody reads the lines any more. */
  release(): Memory;
}

/** Longer numbers are left to encodeLine. */
const numberCharsMax = 40;
/** JavaScript may write such a fraction in another way: it is of more than 15 digits, ends with a zero, or is below a millionth. */
const oddFraction = /=-?(?:[\d.]{17}|\d+\.\d*0(?!\d)|0\.000000)/;
/** Room for what a line has besides its series and its fields; the fields take at most three times the payload. */
const lineBytesMax = 64;

const encoder = new TextEncoder();
const noNanoseconds = inWords(encoder.encode("000000"));
/** The digits of all numbers from 000 to 999. */
const digits = encoder.encode(Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, "0")).join(""));
/** The number of the current scan, by which a column that comes twice is noticed. */
let scans = 0;

/** `spare`: memory that may be written over. */
export function createBody(bytesExpected: number, spare?: Memory): Body {
  let out =
    spare !== undefined && spare.length >= bytesExpected ? spare : Buffer.allocUnsafeSlow(bytesExpected);
  let at = 0;
  let start = 0;
  let fieldsAt = 0;
  let into = { bytes: out, view: new DataView(out.buffer) };
  let isInOrder = true;
  let names: readonly string[] = [];
  let second = Number.NaN;
  let secondWords = noNanoseconds;

  function reserve(more: number) {
    if (at + more <= out.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(out.length * 2, at + more));
    larger.set(out.subarray(0, at));
    out = larger;
    into = { bytes: out, view: new DataView(out.buffer) };
  }

  function copy(bytes: Uint8Array, from: number) {
    const target = out;
    let to = at;
    for (let i = from; i < bytes.length; i += 1) target[to++] = bytes[i] ?? 0;
    at = to;
  }

  function threeDigits(value: number) {
    const from = value * 3;
    out[at] = digits[from] ?? zero;
    out[at + 1] = digits[from + 1] ?? zero;
    out[at + 2] = digits[from + 2] ?? zero;
    at += 3;
  }

  /** Copies a number. @returns the index behind it, or -1 */
  function number(text: string, from: number, isWhole: boolean): number {
    const target = out;
    let to = at;
    let i = from;
    let hasDot = false;
    let isZero = true;
    for (let c = text.charCodeAt(i); c !== comma && c !== close && c !== space; c = text.charCodeAt(i)) {
      // An exponent, or the end of a text that is not JSON.
      if (!(c >= minus && c <= nine)) return -1;
      if (c === dot) {
        if (i - from > wholeDigitsMax) return -1;
        hasDot = true;
      } else if (c > zero) isZero = false;
      target[to++] = c;
      i += 1;
    }
    at = to;
    if (hasDot ? isWhole || i - from > numberCharsMax : i - from > wholeDigitsMax) return -1;
    return isZero && text.charCodeAt(from) === minus ? -1 : i;
  }

  /** Copies a text with its quotes. @returns the index behind it, or -1 */
  function quoted(text: string, from: number): number {
    let i = from;
    do {
      const c = text.charCodeAt(i);
      if (c === backslash || !(c >= space && c < 127)) return -1;
      out[at++] = c;
      i += 1;
    } while (text.charCodeAt(i) !== quote);
    out[at++] = quote;
    return i + 1;
  }

  /** Copies a column's value at `i`. @returns the index behind it, or -1 */
  function field(text: string, i: number, { bytes, type }: KnownColumn, isFirst: boolean): number {
    const c = text.charCodeAt(i);
    if (c === small.n) return i + 4;
    if (bytes === null) return -1;
    copy(bytes, isFirst ? 1 : 0);
    if (c === minus || (c >= zero && c <= nine)) {
      if (type !== "float" && type !== "integer") return -1;
      const after = number(text, i, type === "integer");
      if (type === "integer") out[at++] = small.i;
      return after;
    }
    if (c === quote) return type === "string" ? quoted(text, i) : -1;
    if (type !== "boolean" || (c !== small.t && c !== small.f)) return -1;
    at = copyWords(c === small.t ? trueWords : falseWords, into.view, at);
    return i + (c === small.t ? 4 : 5);
  }

  /** Copies all fields of a payload. @returns false if it is not the usual case */
  function fields(text: string, table: KnownTable, { shape, names: before }: KnownSeries): boolean {
    const mark = (scans += 1);
    const first = at;
    isInOrder = true;
    let inMetrics = false;
    let hadMetrics = false;
    let known = 0;
    /** Of the fields: as many as of the line before, or those that are others. */
    let same = 0;
    let others: string[] | null = null;
    let i = 1;
    for (;;) {
      i = skipBlank(text, i);
      if (text.charCodeAt(i) !== quote) return false;
      const name = i + 1;
      let column: KnownColumn | null = null;
      if (inMetrics) {
        const guess = shape[known];
        column = guess !== undefined && isAt(text, name, guess.name) ? guess : lookUp(text, name, table);
        if (column === null) return false;
        shape[known] = column;
        known += 1;
        // Names that are numbers change places when they are parsed.
        if (isDigit(text.charCodeAt(name))) isInOrder = false;
        i = name + column.name.length + 1;
      } else {
        i = endOf(text, name) + 1;
        if (i === 0) return false;
        if (isAt(text, name, "seq")) column = table.column("seq");
        if (column !== null && at > first) isInOrder = false;
      }
      i = skipBlank(text, i + 1);
      if (column !== null) {
        if (column.mark === mark) return false;
        column.mark = mark;
        const fieldAt = at;
        i = field(text, i, column, at === first);
        if (at > fieldAt && others === null && before[same] === column.name) same += 1;
        else if (at > fieldAt) (others ??= before.slice(0, same)).push(column.name);
      } else if (isAt(text, name, "metrics")) {
        if (hadMetrics || text.charCodeAt(i) !== open) return false;
        inMetrics = hadMetrics = true;
        i += 1;
        continue;
      } else i = endOfValue(text, i);
      if (i < 0) return false;
      i = skipBlank(text, i);
      if (inMetrics && text.charCodeAt(i) === close) {
        inMetrics = false;
        i = skipBlank(text, i + 1);
      }
      if (text.charCodeAt(i) !== comma) {
        names = others ?? (same === before.length ? before : before.slice(0, same));
        return text.charCodeAt(i) === close && !inMetrics && at > first;
      }
      i += 1;
    }
  }

  return {
    scan(entry, table, series) {
      const { payload } = entry;
      reserve(series.length + payload.length * 3 + lineBytesMax);
      start = at;
      if (at > 0) out[at++] = 10;
      at = fieldsAt = copyWords(series, into.view, at);
      const plan = planFor(entry, table);
      const end = plan === null ? -1 : write(plan, payload, into, at);
      if (plan !== null && end >= 0) {
        at = end;
        ({ isInOrder, names } = plan);
        return true;
      }
      if (payload.charCodeAt(0) === open && fields(payload, table, series)) return true;
      at = start;
      return false;
    },
    plainFields() {
      const text = out.toString("utf8", fieldsAt, at);
      return isInOrder && !oddFraction.test(text) ? text : null;
    },
    end({ ms, ns }) {
      const whole = Math.floor(ms / 1000);
      if (whole <= 0) {
        at += encoder.encodeInto(` ${nanoseconds(ms, ns)}`, out.subarray(at)).written;
        return;
      }
      if (whole !== second) {
        second = whole;
        secondWords = inWords(encoder.encode(` ${whole}`));
      }
      at = copyWords(secondWords, into.view, at);
      threeDigits(ms - whole * 1000);
      const thousands = (ns / 1000) | 0;
      if (ns > 0) {
        threeDigits(thousands);
        threeDigits(ns - thousands * 1000);
      } else at = copyWords(noNanoseconds, into.view, at);
    },
    names: () => names,
    print: () => printOf(into.view, fieldsAt, at),
    undo() {
      at = start;
    },
    add(text) {
      start = at;
      reserve(text.length * 3 + 1);
      if (at > 0) out[at++] = 10;
      at += encoder.encodeInto(text, out.subarray(at)).written;
    },
    bytes: () => out.subarray(0, at),
    release: () => out,
  };
}

function lookUp(text: string, from: number, table: KnownTable): KnownColumn | null {
  const end = endOf(text, from);
  return end < 0 ? null : table.column(text.slice(from, end));
}
