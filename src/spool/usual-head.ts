/**
 * What stands before the payload of nearly every record, an event without anything particular, written as bytes: to join it as text cost
 * as much as all else of a record, most of it the digits of the two times, and left the text to be collected.
 */
import type { Entry, Event } from "../core/entry.ts";

/** What nearly every record has between the ms of its event and its payload: 0 ns, no reason, detail, flag or hash. */
export const usualRest = "0\t\\N\t\\N\t\t\\N\t";

const start = new Uint8Array(Buffer.from("e\t"));
const rest = new Uint8Array(Buffer.from(`\t${usualRest}`));
const tab = 9;
const zero = 48;

/** Nearly all ms have 13 digits: those from 2001 to 2286. */
const msMin = 1e12;
const msMax = 1e13 - 1;
const msDigits = 13;
const lowDigits = 6;
const lowEnd = 1e6;

/** What it takes besides the text of who speaks. */
export const usualHeadBytes = start.length + 2 * (msDigits + 1) + rest.length;

/** Whether the record of an entry whose payload needs no escape begins so. */
export function hasUsualHead(entry: Entry): entry is Event {
  const { kind, receivedMs, eventMs, eventNs, reason, detail, mirror, tokenHash, returned } = entry;
  const saysMore = reason !== null || detail !== null || tokenHash !== null || returned !== null || mirror;
  return !saysMore && kind === "event" && eventNs === 0 && isUsualMs(receivedMs) && isUsualMs(eventMs);
}

function isUsualMs(ms: number): boolean {
  return ms >= msMin && ms <= msMax && Number.isInteger(ms);
}

/** @param bytes with room for it @returns where it ends */
export function writeUsualHead(bytes: Buffer, from: number, event: Event, speaker: string): number {
  let at = writeBytes(bytes, from, start);
  at = writeMs(bytes, at, event.receivedMs);
  bytes[at++] = tab;
  at += bytes.write(speaker, at);
  bytes[at++] = tab;
  at = writeMs(bytes, at, event.eventMs);
  return writeBytes(bytes, at, rest);
}

function writeBytes(bytes: Buffer, from: number, some: Uint8Array): number {
  for (let i = 0; i < some.length; i++) bytes[from + i] = some[i] ?? 0;
  return from + some.length;
}

/** In two parts, each of which is a small integer to the engine. */
function writeMs(bytes: Buffer, from: number, ms: number): number {
  const high = Math.trunc(ms / lowEnd);
  const end = from + msDigits;
  writeDigits(bytes, from, end - lowDigits, high);
  writeDigits(bytes, end - lowDigits, end, ms - high * lowEnd);
  return end;
}

function writeDigits(bytes: Buffer, from: number, end: number, value: number): void {
  let left = value | 0;
  for (let at = end - 1; at >= from; at--) {
    const tens = (left / 10) | 0;
    bytes[at] = zero + left - tens * 10;
    left = tens;
  }
}
