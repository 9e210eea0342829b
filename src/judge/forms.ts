/**
 * The forms of the payloads that devices send (form.ts): learned of what was judged stage by stage and accepted, and read from then on.
 * Which one is a device's hangs off its address.
 */
import type { Address } from "../core/address.ts";
import type { Event } from "../core/entry.ts";
import type { Values } from "../core/settings.ts";
import { isSpeaker, type Candidate } from "./candidate.ts";
import { utf8Of } from "./decode.ts";
import type { Fit, Form } from "./form.ts";
import { createShelf } from "./form-shelf.ts";
import { blank } from "./scrub.ts";
import { timeIs, type timeSettings } from "./time.ts";
import type { Rejection } from "./verdict.ts";

/** Of a device whose payloads have no form, or change it, so many are judged before another is learned. */
const learnEvery = 64;

/** Of the process, as the addresses are which hold its numbers. */
const shelf = createShelf();

/**
 * Fills in a candidate whose text is of the form that its device used before, as `examine` would.
 * @returns undefined: it is not, and the candidate is as it was
 */
export function readForm(
  candidate: Candidate,
  policy: Values<typeof timeSettings>,
): Rejection | null | undefined {
  const { address, bytes } = candidate;
  if (address === null || candidate.isJudged) return undefined;
  const form = shelf.at(address.form);
  if (form === undefined) return undefined;
  const text = form.isAscii ? latin1Of(bytes) : utf8Of(bytes);
  const fit = text === null ? undefined : form.fits(text, address, address.formSite);
  if (text === null || fit === undefined) return undefined;
  const isVouched = !form.hasToken && isSpeaker(candidate);
  if (!form.hasSite && !isVouched && candidate.tokenHash === null) return undefined;
  candidate.text = text;
  candidate.line = lineOf(text, form, fit);
  candidate.form = address.form;
  candidate.token = form.hasToken ? text.slice(fit.tokenFrom, fit.tokenTo) : undefined;
  candidate.siteId = form.hasSite ? address.formSite : null;
  if (isVouched) candidate.proof = "connection";
  return timeIs(candidate, Number.isNaN(fit.ms) ? null : fit, policy);
}

/** @param event that was made of a candidate which `examine` filled in */
export function learnForm(candidate: Candidate, event: Event): void {
  const { address, text, raw, line } = candidate;
  if (line !== null || text === null || raw !== null || event.detail !== null) return;
  if (address?.isKept !== true || !address.isOfTopic || candidate.isJudged) return;
  if (address.formless++ % learnEvery !== 0) return;
  // By a form that is ASCII a text is read as Latin-1, and one with other characters would never fit.
  const isAscii = Buffer.byteLength(text) === text.length;
  const isLike = (one: number) => shelf.at(one)?.isAscii === isAscii && isOf(one, event, text, address);
  const number = shelf.last.find(isLike) ?? shelf.learn(text);
  if (number === undefined || !isOf(number, event, text, address)) return;
  address.form = number;
  address.formSite = event.siteId;
}

/** Does the form of this number tell of the text what was found out stage by stage? */
function isOf(number: number, event: Event, text: string, address: Address): boolean {
  const form = shelf.at(number);
  const fit = form?.fits(text, address, event.siteId);
  if (form === undefined || fit === undefined || lineOf(text, form, fit) !== event.payload) return false;
  return Number.isNaN(fit.ms) || (fit.ms === event.eventMs && fit.ns === event.eventNs);
}

function lineOf(text: string, { hasToken }: Form, { tokenFrom, tokenTo }: Fit): string {
  return hasToken ? `${text.slice(0, tokenFrom)}${blank}${text.slice(tokenTo)}` : text;
}

function latin1Of(bytes: Uint8Array): string {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString("latin1");
}
