/**
 * The form of a payload: its text without its values. A device writes one form for years and only the values change, so what was found out
 * once about a form (it is JSON that can be stored, it names no secret but the token, its metrics are as they should be) holds for every
 * text that fits it. To see that a text fits takes a fifth of the time. Pure.
 *
 * A value fits only if none of that can depend on it: a number is short and has no exponent; a string has no escape, no control character
 * and nothing that looks like a secret. What does not fit is judged stage by stage: nothing is rejected here.
 */
import type { Address } from "../core/address.ts";
import { exactly } from "../core/text/json-digits.ts";
import { tokenStart } from "../core/token.ts";
import { endOfPlainText } from "./plain-text.ts";
import { readTimestamp, usualMs } from "./timestamp.ts";

/** What a value is to the judge; numbers, because to tell words apart takes longer. */
export const kinds = {
  number: 0,
  flag: 1,
  text: 2,
  token: 3,
  siteId: 4,
  seq: 5,
  time: 6,
  epoch: 7,
  tenantId: 8,
  deviceId: 9,
  msgType: 10,
} as const;

export type Kind = (typeof kinds)[keyof typeof kinds];

export interface Slot {
  /** What stands before the value and behind the one before it. The quotes of a string are literal. */
  readonly literal: string;
  readonly kind: Kind;
}

/** What the judge needs to know of a text that fits. */
export interface Fit {
  /** Where the token stands, if the form has one. */
  tokenFrom: number;
  tokenTo: number;
  /** The event time; NaN: the text has none. */
  ms: number;
  ns: number;
}

const textCharsMax = 2_048;
/** Without an exponent any number of so few characters is finite, and within PostgreSQL's numeric. */
const numberCharsMax = 32;
/** Within 2^53, which has sixteen digits. */
const seqCharsMax = 15;
const timeCharsMax = 40;
const [space, quote, minus, point, zero, letterZ, backslash, tilde] = [
  0x20, 0x22, 0x2d, 0x2e, 0x30, 0x5a, 0x5c, 0x7e,
];

export class Form {
  readonly isAscii: boolean;
  readonly hasSite: boolean;
  readonly hasToken: boolean;
  readonly #slots: readonly Slot[];
  readonly #end: string;
  readonly #fit: Fit = { tokenFrom: 0, tokenTo: 0, ms: Number.NaN, ns: 0 };

  /** @param end what stands behind the last value @param isAscii every text of this form is */
  constructor(slots: readonly Slot[], end: string, isAscii: boolean) {
    this.#slots = slots;
    this.#end = end;
    this.isAscii = isAscii;
    this.hasSite = slots.some(({ kind }) => kind === kinds.siteId);
    this.hasToken = slots.some(({ kind }) => kind === kinds.token);
  }

  /**
   * @param text of an ASCII form it may be the bytes read as Latin-1: no value with another character fits
   * @param siteId of the device, as it is registered
   * @returns undefined: the text does not fit; else what is good until the next call
   */
  fits(text: string, address: Address, siteId: string): Fit | undefined {
    const fit = this.#fit;
    let at = 0;
    for (const { literal, kind } of this.#slots) {
      if (!text.startsWith(literal, at)) return undefined;
      const from = at + literal.length;
      if (kind === kinds.number) at = endOfNumber(text, from);
      else if (kind === kinds.flag) at = endOfFlag(text, from);
      else if (kind === kinds.text) at = endOfPlainText(text, from, textCharsMax, this.isAscii);
      else if (kind === kinds.seq) at = endOfSeq(text, from);
      else if (kind === kinds.token) at = endOfToken(text, from, fit);
      else if (kind === kinds.time) at = endOfTime(text, from, fit);
      else if (kind === kinds.epoch) at = endOfEpoch(text, from, fit);
      else at = endOfOwn(text, from, ownOf(kind, address, siteId));
      if (at < 0) return undefined;
    }
    return text.length === at + this.#end.length && text.endsWith(this.#end) ? fit : undefined;
  }
}

function ownOf(kind: Kind, address: Address, siteId: string): string {
  if (kind === kinds.siteId) return siteId;
  if (kind === kinds.tenantId) return address.tenantId;
  return kind === kinds.deviceId ? address.deviceId : address.msgType;
}

// Each returns the index after the value that begins at `from`, or -1 if no value that fits stands there.

function endOfDigits(text: string, from: number): number {
  let at = from;
  while (isDigit(text.charCodeAt(at))) at++;
  return at;
}

const isDigit = (unit: number) => unit >= zero && unit <= zero + 9;

/** As JSON writes numbers (RFC 8259 §6). */
function endOfWhole(text: string, from: number): number {
  const first = text.charCodeAt(from) === minus ? from + 1 : from;
  const end = endOfDigits(text, first);
  return end === first || (end > first + 1 && text.charCodeAt(first) === zero) ? -1 : end;
}

function endOfNumber(text: string, from: number): number {
  let end = endOfWhole(text, from);
  if (text.charCodeAt(end) === point) {
    const first = end + 1;
    end = endOfDigits(text, first);
    if (end === first) return -1;
  }
  return end - from > numberCharsMax ? -1 : end;
}

function endOfSeq(text: string, from: number): number {
  const end = endOfWhole(text, from);
  return end - from > seqCharsMax ? -1 : end;
}

function endOfFlag(text: string, from: number): number {
  if (text.startsWith("true", from)) return from + 4;
  return text.startsWith("false", from) ? from + 5 : -1;
}

function endOfToken(text: string, from: number, fit: Fit): number {
  if (!text.startsWith(tokenStart, from)) return -1;
  const end = endOfAscii(text, from);
  fit.tokenFrom = from;
  fit.tokenTo = end;
  return end;
}

/** Of a string without escapes. */
function endOfAscii(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === quote) return at;
    if (unit < space || unit === backslash || unit > tilde) return -1;
  }
  return -1;
}

function endOfTime(text: string, from: number, fit: Fit): number {
  const usual = from + (text.charCodeAt(from + 19) === letterZ ? 20 : 24);
  fit.ms = usualMs(text, from, usual);
  fit.ns = 0;
  if (!Number.isNaN(fit.ms)) return usual;
  const end = text.indexOf('"', from);
  return end - from <= timeCharsMax && isTime(text.slice(from, end), fit) ? end : -1;
}

function endOfEpoch(text: string, from: number, fit: Fit): number {
  const end = endOfNumber(text, from);
  const digits = text.slice(from, end);
  return isTime(exactly(Number(digits), digits), fit) ? end : -1;
}

function isTime(written: string | number | bigint, fit: Fit): boolean {
  const time = readTimestamp(written);
  if (time === null) return false;
  fit.ms = time.ms;
  fit.ns = time.ns;
  return true;
}

function endOfOwn(text: string, from: number, own: string): number {
  return text.startsWith(own, from) ? from + own.length : -1;
}
