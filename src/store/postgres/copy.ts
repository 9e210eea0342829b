/**
 * Rows as COPY takes them: its text format (core/text/copy-text.ts), a tab between columns and a newline after each row, in messages that
 * are ready to be sent (postgresql.org/docs/current/protocol-message-formats.html, CopyData and CopyDone).
 *
 * A row is written into its message at once, its columns and then its payload, which is most of it and a string already: to join the rows
 * of a message first cost a third more, and left twice their text to be collected. The messages of a batch are one buffer, for what waits
 * behind another at a socket is copied together when that has gone; and the next batch uses it again, for a batch is on its way for longer
 * than the engine's young generation lasts. Rejected alternative: COPY's binary format. It saves PostgreSQL a tenth per row, and takes
 * no column whose type a site has changed.
 */
import { copyText } from "../../core/text/copy-text.ts";
import type { Entry } from "../../core/entry.ts";
import { letGo } from "../../core/memory/let-go.ts";
import { withRoom } from "../../core/memory/with-room.ts";
import { speakerText } from "../../core/text/speaker-text.ts";
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

/** A message ends with the row that fills it: so the server is at work before the last has come. */
const messageBytes = 64 * 1024;
/** What is sent before the others are made, which takes the server longer than us that: it would wait for 4 ms of each 75. */
const firstBytes = 2 * messageBytes;
/** To begin with. A buffer that is too small is replaced by one of twice the size. */
const rowBytesUsual = 600;
const bytesPerCharMax = 3;
const dataCode = "d".charCodeAt(0);
const copyDone = Buffer.from("c\0\0\0\u0004");
const headBytes = 5;
const newline = 10;

/** A payload of 8 KB takes fifteen times what is usual. */
const sizesApartMax = 32;
/** The largest of those that are in the database. Nothing else keeps it: without a load it is collected. */
let spare: WeakRef<Buffer> | undefined;

/** These have arrived, and their memory may be written anew. Of a request that failed they may still be on their way: they are not used again. */
export function reuse(copies: readonly CopyData[]): void {
  for (const { memory } of copies) {
    const other = spare?.deref();
    if (memory === undefined || memory === other) continue;
    const isLargest = other === undefined || memory.length > other.length;
    const gone = isLargest ? other : memory;
    if (isLargest) spare = new WeakRef(memory);
    if (gone !== undefined) letGo(gone);
  }
}

/** At least so large. One that is much larger is from a load that is over. */
function takeBuffer(bytes: number): Buffer {
  const used = spare?.deref();
  spare = undefined;
  if (used !== undefined && used.length >= bytes && used.length <= bytes * sizesApartMax) return used;
  if (used !== undefined) letGo(used);
  return Buffer.allocUnsafeSlow(bytes);
}

/** The messages of one COPY. They are made as they are sent, and anew each time. */
export interface CopyData extends Iterable<Buffer> {
  /** What the messages lie in that were made last; undefined: none yet. */
  memory: Buffer | undefined;
}

export function hasRows<Item>(items: readonly Item[], { columns }: Rows<Item>): boolean {
  return items.some((item) => columns(item) !== "");
}

export function copyData<Item>(items: readonly Item[], { columns, last }: Rows<Item>): CopyData {
  return {
    memory: undefined,
    *[Symbol.iterator]() {
      let bytes = takeBuffer(items.length * rowBytesUsual + headBytes + copyDone.length);
      let [sent, head, at] = [0, 0, headBytes];
      for (const item of items) {
        const begin = columns(item);
        if (begin === "") continue;
        const end = last(item);
        const more = (begin.length + end.length) * bytesPerCharMax + 1 + headBytes + copyDone.length;
        bytes = withRoom(bytes, at, more);
        if (at - head >= messageBytes) {
          endMessage(bytes, head, at);
          // The rest is one piece, for what waits at a socket behind another is copied.
          if (sent === 0 && at >= firstBytes) yield bytes.subarray(0, (sent = at));
          head = at;
          at += headBytes;
        }
        at += bytes.write(begin, at);
        at += bytes.write(end, at);
        bytes[at++] = newline;
      }
      endMessage(bytes, head, at);
      bytes.set(copyDone, at);
      this.memory = bytes;
      yield bytes.subarray(sent, at + copyDone.length);
    },
  };
}

function endMessage(bytes: Buffer, head: number, end: number): void {
  bytes[head] = dataCode;
  bytes.writeInt32BE(end - head - 1, head + 1);
}

/** Of raw_events. */
export const rawRows: Rows<Entry> = {
  columns: (entry) => (isRaw(entry) ? columnsWith(entry, entry.kind === "event" ? "t" : "f") : ""),
  // What has a form needs no escape, and to look for what does was an eighth of what a row cost.
  last: (entry) =>
    entry.form === undefined ? copyText(isRaw(entry) ? rawPayload(entry) : null) : entry.payload,
};

/** Of quarantine_events. */
export const quarantineRows: Rows<Entry> = {
  columns: (entry) => (isQuarantined(entry) ? columnsWith(entry, copyText(entry.reason)) : ""),
  last: (entry) => copyText(entry.payload),
};

/** When the entry of the last row was received: most of a batch came in the same few ms. */
let [receivedMs, received] = [Number.NaN, ""];

function columnsWith(entry: Entry, word: string): string {
  if (entry.receivedMs !== receivedMs)
    [receivedMs, received] = [entry.receivedMs, timeText(entry.receivedMs, 0)];
  return `${received}\t${eventTime(entry) ?? "\\N"}\t${speakerText(entry)}\t${word}\t`;
}
