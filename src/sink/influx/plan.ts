/**
 * How the payloads of one form become the fields of a line (`Entry.form`). What stands between two values is of one length, so that no name
 * is read, and where a value ends shows itself, for it is as plain as the form promises. What is no usual line is left to scan.ts, as that
 * leaves it to encodeLine. To read all of a payload was two thirds of what a line cost.
 */
import { namesIn } from "./names.ts";
import type { Entry } from "../../core/entry.ts";
import type { KnownColumn, KnownTable } from "./types.ts";
import { copyWords, falseWords, trueWords, inWords } from "./words.ts";

/** A value that is copied, or passed over. */
interface Step {
  /** Characters between the value before it and this one. */
  readonly gap: number;
  readonly kind: (typeof kinds)[keyof typeof kinds];
  /** null: it is no field. */
  readonly column: KnownColumn | null;
  /** The first and behind the last of its head's words, and the bytes of it. */
  readonly from: number;
  readonly until: number;
  readonly length: number;
}

export interface Plan {
  /** Of all fields. */
  readonly names: readonly string[];
  /** The heads of all fields; an array of each took three times the memory. */
  readonly words: Float64Array;
  /** Up to the last field. */
  readonly steps: readonly Step[];
  /** encodeLine writes the fields in the same order. */
  readonly isInOrder: boolean;
}

/** Where the bytes go. */
interface Output {
  readonly bytes: Uint8Array;
  /** Of the same memory. */
  readonly view: DataView;
}

const kinds = { number: 0, flag: 1, text: 2 } as const;
const [quote, minus, dot, zero, nine, tilde, letterI, letterT] = [34, 45, 46, 48, 57, 126, 105, 116];
/** Whole numbers of up to this many digits are exact in every column. */
export const wholeDigitsMax = 15;
/** In memory, of all tables. */
export const plansMax = 512;
/** Then all are forgotten, and those in use are made anew. */
const passedOverMax = 100_000;
/** Strings with what makes one a name, numbers, flags, and what opens or closes a level: all there is in JSON but null, blanks and commas. */
const parts = /"([^"]*)"(\s*:)?|-?\d[\d.]*|true|false|[[\]{}]/g;

/** @param text a payload of the form @returns null: it has no field, or is never a usual line */
function planOf(text: string, table: KnownTable): Plan | null {
  const steps: Step[] = [];
  const names: string[] = [];
  const heads: number[] = [];
  let [kept, fieldsEnd] = [0, 0];
  for (const { field, from, to, kind } of valuesIn(text)) {
    const column = field === null ? null : table.column(field);
    const bytes = column?.bytes ?? new Uint8Array();
    if (column !== null && bytes.length === 0) return null;
    const { words, length } = inWords(names.length === 0 ? bytes.subarray(1) : bytes);
    const until = heads.push(...words);
    steps.push({ gap: from - kept, kind, column, from: until - words.length, until, length });
    if (field !== null) {
      names.push(field);
      fieldsEnd = steps.length;
    }
    kept = to;
  }
  const expected = namesIn({ payload: text });
  const isComplete =
    new Set(names).size === expected.length && expected.every((name) => names.includes(name));
  if (names.length === 0 || names.length !== expected.length || !isComplete) return null;
  return {
    names: expected,
    words: Float64Array.from(heads),
    steps: steps.slice(0, fieldsEnd),
    isInOrder: names.every((name, i) => name === expected[i]),
  };
}

/** By table and by the form's number; null: it is never a usual line. */
let plans = new WeakMap<KnownTable, Map<number, Plan | null>>();
let count = 0;
/** Payloads for whose form there was no room. */
let passedOver = 0;
/** Of the last line that had one, for most devices of a table write one form. */
let lastTable: KnownTable | undefined;
let lastForm = -1;
let lastPlan: Plan | null = null;

/** How an entry's payload is written; null: it has no form, or one without a plan. */
export function planFor({ form, payload }: Entry, table: KnownTable): Plan | null {
  if (form === undefined) return null;
  if (form === lastForm && table === lastTable) return lastPlan;
  let plan = plans.get(table)?.get(form);
  if (plan === undefined) {
    if (!hasRoom()) return null;
    plan = planOf(payload, table);
    keep(plan, form, table);
  }
  [lastTable, lastForm, lastPlan] = [table, form, plan];
  return plan;
}

/** Those that came first stay, or of more forms in turn than there is room for each would be made anew each time; until too many have none. */
function hasRoom(): boolean {
  if (count < plansMax) return true;
  passedOver += 1;
  if (passedOver < passedOverMax) return false;
  [plans, count, passedOver] = [new WeakMap(), 0, 0];
  return true;
}

function keep(plan: Plan | null, form: number, table: KnownTable) {
  let ofTable = plans.get(table);
  if (ofTable === undefined) plans.set(table, (ofTable = new Map()));
  ofTable.set(form, plan);
  count += 1;
}

/** The values of a payload that has a form; `field`: null if it is none. */
function* valuesIn(text: string) {
  const levels: string[] = [];
  let name = "";
  for (const { 0: part, 1: string, 2: isName, index } of text.matchAll(parts)) {
    if (isName !== undefined) name = string ?? "";
    else if (part === "{" || part === "[") levels.push(part === "{" ? name : "");
    else if (part === "}" || part === "]") levels.pop();
    else {
      const quotes = string === undefined ? 0 : 1;
      const kind = quotes > 0 ? kinds.text : part === "true" || part === "false" ? kinds.flag : kinds.number;
      const isField = levels.length === 1 ? name === "seq" : levels.length === 2 && levels[1] === "metrics";
      yield { field: isField ? name : null, from: index + quotes, to: index + part.length - quotes, kind };
    }
  }
}

/**
 * Writes the fields of a payload of the plan's form.
 * @param at where, with room for all of them @returns where they end; -1: it is not the usual case
 */
export function write({ steps, words }: Plan, text: string, { bytes, view }: Output, at: number): number {
  let to = at;
  let i = 0;
  for (const { gap, kind, column, from, until, length } of steps) {
    i += gap;
    if (column === null) {
      i = behind(text, i, kind);
      continue;
    }
    for (let w = from; w < until; w += 1) view.setFloat64(to + (w - from) * 8, words[w] ?? 0, true);
    to += length;
    const { type } = column;
    let chars = -1;
    if (kind === kinds.number) {
      if (type === "float" || type === "integer") chars = copyNumber(text, i, type === "integer", bytes, to);
      if (type === "integer") bytes[to++ + chars] = letterI;
    } else if (kind === kinds.text) {
      bytes[to++] = quote;
      if (type === "string") chars = copyText(text, i, bytes, to);
      bytes[to++ + chars] = quote;
    } else if (type === "boolean") {
      const flag = text.charCodeAt(i) === letterT ? trueWords : falseWords;
      chars = flag.length;
      copyWords(flag, view, to);
    }
    if (chars < 0) return -1;
    i += chars;
    to += chars;
  }
  return to;
}

// Each copies the value that begins at `from`, and returns how many characters it has; -1: it is not the usual case.

function copyNumber(text: string, from: number, isWhole: boolean, bytes: Uint8Array, at: number): number {
  let i = from;
  let to = at;
  let wholeEnd = -1;
  for (let c = text.charCodeAt(i); isInNumber(c); c = text.charCodeAt(i)) {
    if (c === dot) wholeEnd = i;
    bytes[to++] = c;
    i += 1;
  }
  if (wholeEnd < 0) wholeEnd = i;
  else if (isWhole) return -1;
  return wholeEnd - from > wholeDigitsMax || isNegativeZero(text, from, i) ? -1 : i - from;
}

function copyText(text: string, from: number, bytes: Uint8Array, at: number): number {
  let i = from;
  let to = at;
  for (let c = text.charCodeAt(i); c !== quote; c = text.charCodeAt(i)) {
    if (!(c <= tilde)) return -1;
    bytes[to++] = c;
    i += 1;
  }
  return i - from;
}

/** A digit, a sign or a point: the form says that no number has anything else, and that none is followed by them. */
const isInNumber = (char: number): boolean => char >= minus && char <= nine;

function isNegativeZero(text: string, from: number, to: number): boolean {
  if (text.charCodeAt(from) !== minus) return false;
  let i = from + 1;
  while (i < to && text.charCodeAt(i) <= zero) i += 1;
  return i === to;
}

function behind(text: string, from: number, kind: Step["kind"]): number {
  let i = from;
  if (kind === kinds.text) while (i < text.length && text.charCodeAt(i) !== quote) i += 1;
  else if (kind === kinds.flag) i += text.charCodeAt(i) === letterT ? 4 : 5;
  else while (isInNumber(text.charCodeAt(i))) i += 1;
  return i;
}
