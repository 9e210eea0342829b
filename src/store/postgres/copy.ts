/**
 * Rows as COPY takes them: its text format (core/copy-text.ts), a tab between columns and a newline after each row, in messages that
 * are ready to be sent (postgresql.org/docs/current/protocol-message-formats.html, CopyData and CopyDone).
 *
 * A message is encoded as soon as it is full, while its rows are still in the processor's cache: the whole batch as one string, which was
 * then copied three times, cost half as much again. Rejected alternative: COPY's binary format. It saves PostgreSQL a tenth per row, and
 * takes no column whose type a site has changed.
 */
import { copyText } from "../../core/copy-text.ts";
import type { Entry } from "../../core/entry.ts";
import { speakerText } from "../../core/speaker-text.ts";
import { eventTime, isQuarantined, isRaw, rawPayload, timeText } from "../rows.ts";

export const copyRaw =
  "copy raw_events (ingested_at, event_ts, topic, tenant_id, device_id, msg_type, site_id, accepted, payload) from stdin";
export const copyQuarantine =
  "copy quarantine_events (ingested_at, event_ts, topic, tenant_id, device_id, msg_type, site_id, reason, payload) from stdin";

/** A message is full at so many characters. */
const messageChars = 64 * 1024;

/** The messages of one COPY; none if no item has a row. @param rowOf "": it has none */
export function copyMessages<Item>(items: readonly Item[], rowOf: (item: Item) => string): Buffer[] {
  const messages: Buffer[] = [];
  let rows = "";
  for (const item of items) {
    const row = rowOf(item);
    if (row === "") continue;
    if (rows.length >= messageChars) {
      messages.push(messageOf(rows, false));
      rows = "";
    }
    rows += row;
  }
  if (rows !== "") messages.push(messageOf(rows, true));
  return messages;
}

const copyData = "d".charCodeAt(0);
const headBytes = 5;
const copyDone = Buffer.from("c\0\0\0\u0004");

function messageOf(rows: string, isLast: boolean): Buffer {
  const bytes = Buffer.byteLength(rows);
  const message = Buffer.allocUnsafe(headBytes + bytes + (isLast ? copyDone.length : 0));
  message[0] = copyData;
  message.writeInt32BE(bytes + 4, 1);
  message.write(rows, headBytes);
  if (isLast) message.set(copyDone, headBytes + bytes);
  return message;
}

/** Of raw_events; "" if the entry has none. */
export function rawRow(entry: Entry): string {
  if (!isRaw(entry)) return "";
  return rowWith(entry, entry.kind === "event" ? "t" : "f", rawPayload(entry));
}

/** Of quarantine_events; "" if the entry has none. */
export function quarantineRow(entry: Entry): string {
  return isQuarantined(entry) ? rowWith(entry, copyText(entry.reason), entry.payload) : "";
}

function rowWith(entry: Entry, word: string, payload: string): string {
  const received = timeText(entry.receivedMs, 0);
  return `${received}\t${eventTime(entry) ?? "\\N"}\t${speakerText(entry)}\t${word}\t${copyText(payload)}\n`;
}
