/**
 * Rows as COPY takes them: its text format (core/copy-text.ts), a tab between columns and a newline after each row, in messages that
 * are ready to be sent (postgresql.org/docs/current/protocol-message-formats.html, CopyData and CopyDone).
 *
 * A row is written into its message at once, its columns and then its payload, which is most of it and a string already: to join the rows
 * of a message first cost a third more, and left twice their text to be collected. A message lies in a page that the next batch uses again:
 * a batch is on its way for longer than the engine's young generation lasts, and new pages for each were a quarter of what survived
 * that. Rejected alternative: COPY's binary format. It saves PostgreSQL a tenth per row, and takes no column whose type a site has changed.
 */
import { copyText } from "../../core/copy-text.ts";
import type { Entry } from "../../core/entry.ts";
import { speakerText } from "../../core/speaker-text.ts";
import { eventTime, isQuarantined, isRaw, rawPayload, timeText } from "../rows.ts";

export const copyRaw =
  "copy raw_events (ingested_at, event_ts, topic, tenant_id, device_id, msg_type, site_id, accepted, payload) from stdin";
export const copyQuarantine =
  "copy quarantine_events (ingested_at, event_ts, topic, tenant_id, device_id, msg_type, site_id, reason, payload) from stdin";

/** The rows of one table. */
export interface Rows<Item> {
  /** All columns but the last, each with its tab; "": the item has no row. */
  columns(item: Item): string;
  last(item: Item): string;
}

/** What a message has room for; a row that needs more has a message of its own. */
const pageBytes = 128 * 1024;
const bytesPerCharMax = 3;
const copyData = "d".charCodeAt(0);
const copyDone = Buffer.from("c\0\0\0\u0004");
const headBytes = 5;
const newline = 10;

/** Of batches that are in the database. Nothing else keeps them: without a load they are collected. */
let spare = new WeakRef<ArrayBuffer[]>([]);

/** These messages have arrived, and their pages may be written anew. One that failed may still be on its way: its pages are not used again. */
export function reusePages(messages: readonly Uint8Array<ArrayBuffer>[]): void {
  const pages = spare.deref() ?? [];
  for (const { buffer } of messages) if (buffer.byteLength === pageBytes) pages.push(buffer);
  spare = new WeakRef(pages);
}

function newPage(bytes: number): Buffer<ArrayBuffer> {
  const used = bytes > pageBytes ? undefined : spare.deref()?.pop();
  return used === undefined ? Buffer.allocUnsafeSlow(Math.max(bytes, pageBytes)) : Buffer.from(used);
}

/** The messages of one COPY; none if no item has a row. */
export function copyMessages<Item>(
  items: readonly Item[],
  { columns, last }: Rows<Item>,
): Buffer<ArrayBuffer>[] {
  const messages: Buffer<ArrayBuffer>[] = [];
  let page: Buffer<ArrayBuffer> | undefined;
  let at = 0;
  for (const item of items) {
    const begin = columns(item);
    if (begin === "") continue;
    const end = last(item);
    if (page === undefined || !hasRoom(page, at, begin, end)) {
      if (page !== undefined) messages.push(messageOf(page, at));
      page = newPage(headBytes + rowBytes(begin, end) + copyDone.length);
      at = headBytes;
    }
    at += page.write(begin, at);
    at += page.write(end, at);
    page[at++] = newline;
  }
  if (page === undefined) return [];
  page.set(copyDone, at);
  messages.push(messageOf(page, at, copyDone.length));
  return messages;
}

/** Beside what ends the COPY. */
function hasRoom(page: Buffer, at: number, begin: string, end: string): boolean {
  const room = page.length - at - copyDone.length;
  return (begin.length + end.length + 1) * bytesPerCharMax <= room || rowBytes(begin, end) <= room;
}

const rowBytes = (begin: string, end: string) => Buffer.byteLength(begin) + Buffer.byteLength(end) + 1;

/** @param rowsEnd where its rows end in the page @param behind bytes of what follows it there */
function messageOf(page: Buffer<ArrayBuffer>, rowsEnd: number, behind = 0): Buffer<ArrayBuffer> {
  page[0] = copyData;
  page.writeInt32BE(rowsEnd - 1, 1);
  return page.subarray(0, rowsEnd + behind);
}

/** Of raw_events. */
export const rawRows: Rows<Entry> = {
  columns: (entry) => (isRaw(entry) ? columnsWith(entry, entry.kind === "event" ? "t" : "f") : ""),
  last: (entry) => copyText(isRaw(entry) ? rawPayload(entry) : null),
};

/** Of quarantine_events. */
export const quarantineRows: Rows<Entry> = {
  columns: (entry) => (isQuarantined(entry) ? columnsWith(entry, copyText(entry.reason)) : ""),
  last: (entry) => copyText(entry.payload),
};

function columnsWith(entry: Entry, word: string): string {
  const received = timeText(entry.receivedMs, 0);
  return `${received}\t${eventTime(entry) ?? "\\N"}\t${speakerText(entry)}\t${word}\t`;
}
