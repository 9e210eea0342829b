/**
 * Encodes a group of entries as bytes, and decodes it. A record is a line of text; its fields are listed below (`layout`).
 *
 *     groups      last │ count │ received_ms │ codec │ crc │ body        one row per group, `last` is its key
 *     body        record \n record \n … record                          `count` of them, compressed if codec is 1
 *     record      field \t field \t … payload                           the seq is not in it: it follows from `last` and the place
 *
 * The invariants of the log (`sluice spool verify` holds a file against 1, 2, 3 and 5):
 * 1. Seqs begin at 1 and go up by one; none is given twice, not even after a repair (the head is kept in `epochs`).
 * 2. A group holds the seqs from last - count + 1 to last, and no two groups overlap. A gap is what was given up or was lost.
 * 3. `crc` is the CRC-32 of `body` as it is stored, so that damage is found before anything is decompressed.
 * 4. A record is never changed: what becomes of its entry is told by cursors, detours and dead letters.
 * 5. The books, the packets' fingerprints and the groups that they tell of were committed together, with one fsync.
 * 6. A group goes only once the sinks that hold have settled it; a sink that skips may lose it before. The newest group never goes: it
 *    tells the head.
 * 7. Whoever writes has begun the newest epoch; an earlier writer is refused.
 *
 * Rejected alternative: a binary layout. Text compresses to a fifth, and a group can be read with sqlite3 and zstd alone. Groups of more
 * than a few lines are compressed with zstd, which costs less CPU than writing the bytes that it saves.
 */
import { isAscii } from "node:buffer";
import type { Address } from "../core/address.ts";
import { copyText, fromCopyText } from "../core/text/copy-text.ts";
import type { Entry, Kind, Returned } from "../core/entry.ts";
import { letGo } from "../core/memory/let-go.ts";
import { withRoom } from "../core/memory/with-room.ts";
import { speakerAt, speakerText, type Speaker } from "../core/text/speaker-text.ts";
import { hasUsualHead, usualHeadBytes, usualRest, writeUsualHead } from "./usual-head.ts";

/**
 * An encoded group. Strings must be well-formed: half a surrogate pair, which UTF-8 cannot hold, comes back as
 * U+FFFD.
 */
export interface Group {
  readonly body: Uint8Array;
  /** How `body` is compressed: 0 not at all, 1 zstd. */
  readonly codec: number;
  /** CRC-32 of `body`. */
  readonly crc: number;
}

/** The fields of a record in their order. Text is written with COPY's escapes (\t \n \r \\, \N for null), a number as decimal digits. */
const layout = [
  "kind", // e event, r reject, d deferred
  "receivedMs",
  "topic",
  "tenantId",
  "deviceId",
  "msgType",
  "siteId",
  "eventMs", // \N: not known
  "eventNs",
  "reason",
  "detail",
  "flags", // m: mirror; e: the payload is escaped; then, of what was requeued, `:target:quarantine id`
  "tokenHash",
  "payload", // verbatim: it is one line of JSON already, so it needs no escape and no parse; one that is not has the flag e
] as const;

const compressFromBytes = 1024;
const letterOf: Record<Kind, string> = { event: "e", reject: "r", deferred: "d" };
const kindOf: Record<string, Kind> = { e: "event", r: "reject", d: "deferred" };

/** What stands before the payload. Of a usual record usual-head.ts writes the same, without making this text. */
function headOf(e: Entry, speaker: string, escaped: boolean): string {
  return `${letterOf[e.kind]}\t${e.receivedMs}\t${speaker}\t${e.eventMs ?? "\\N"}\t${e.eventNs}\t${middleOf(e, escaped)}\t`;
}

function middleOf(e: Entry, escaped: boolean): string {
  const letters = (e.mirror ? "m" : "") + (escaped ? "e" : "");
  const flags = e.returned === null ? letters : letters + returnedText(e.returned);
  return `${copyText(e.reason)}\t${copyText(e.detail)}\t${flags}\t${copyText(e.tokenHash)}`;
}

/** A record, whose fields are taken one after another. */
class RecordReader {
  readonly #line: string;
  readonly #seq: number;
  #at = 0;

  constructor(line: string, seq: number) {
    this.#line = line;
    this.#seq = seq;
  }

  take(field: (typeof layout)[number]): string {
    const from = this.#at;
    const tab = this.#line.indexOf("\t", from);
    if (tab < 0) throw new Error(`entry ${this.#seq} ends at its ${field}`);
    this.#at = tab + 1;
    return this.#line.slice(from, tab);
  }

  /** Passes over this, if it stands there. */
  passes(text: string): boolean {
    const isThere = this.#line.startsWith(text, this.#at);
    if (isThere) this.#at += text.length;
    return isThere;
  }

  /** Of a device that is known: its entries share the strings of it. */
  takeAddress(): Address | undefined {
    const known = speakerAt(this.#line, this.#at);
    if (known !== undefined) this.#at += known.text.length + 1;
    return known;
  }

  takeSpeaker(): Speaker {
    return {
      topic: fromCopyText(this.take("topic")) ?? "",
      tenantId: fromCopyText(this.take("tenantId")),
      deviceId: fromCopyText(this.take("deviceId")),
      msgType: fromCopyText(this.take("msgType")),
      siteId: fromCopyText(this.take("siteId")),
    };
  }

  rest(): string {
    return this.#line.slice(this.#at);
  }
}

function entryOf(line: string, seq: number): Entry {
  const record = new RecordReader(line, seq);
  const letter = record.take("kind");
  const receivedMs = Number(record.take("receivedMs"));
  const address = record.takeAddress();
  const { topic, tenantId, deviceId, msgType, siteId } = address ?? record.takeSpeaker();
  const ms = record.take("eventMs");
  // To cut out what says nothing was a fifth of what a record took.
  const isUsual = record.passes(usualRest);
  const eventNs = isUsual ? 0 : Number(record.take("eventNs"));
  const reason = isUsual ? null : fromCopyText(record.take("reason"));
  const detail = isUsual ? null : fromCopyText(record.take("detail"));
  const marks = isUsual ? "" : record.take("flags");
  const tokenHash = isUsual ? null : fromCopyText(record.take("tokenHash"));
  const written = record.rest();
  const kind = kindOf[letter];
  if (!kind) throw new Error(`entry ${seq} is of unknown kind "${letter}"`);
  const colon = marks.indexOf(":");
  const flags = colon < 0 ? marks : marks.slice(0, colon);
  const payload = flags.includes("e") ? (fromCopyText(written) ?? "") : written;
  // What an entry of its kind has, it had when it was encoded: the checksum says that it is that.
  const entry = {
    seq,
    kind,
    receivedMs,
    topic,
    tenantId,
    deviceId,
    msgType,
    siteId,
    eventMs: ms === "\\N" ? null : Number(ms),
    eventNs,
    reason,
    detail,
    payload,
    bytes: Buffer.byteLength(payload),
    tokenHash,
    returned: colon < 0 ? null : returnedOf(marks.slice(colon + 1)),
    // Also if there is none: an entry of another shape would have all code that is compiled for the judge's compiled once more.
    address: kind === "event" ? address : undefined,
    form: undefined,
  } as Entry;
  return flags.includes("m") ? { ...entry, mirror: true } : entry;
}

/** What follows the flags: `:sink:quarantine id`; either may be empty. */
function returnedText({ target, quarantineId }: Returned): string {
  return `:${target ?? ""}:${quarantineId ?? ""}`;
}

function returnedOf(text: string): Returned {
  const [target = "", id = ""] = text.split(":");
  return { target: target === "" ? null : target, quarantineId: id === "" ? null : Number(id) };
}

/**
 * A record is written at once, what stands before its payload and then that, which is a string already: to join the records of a group
 * first cost a third more, and left their text to be collected.
 */
export function encodeGroup(entries: readonly Entry[]): Group {
  let bytes: Buffer = scratch;
  let at = 0;
  for (const entry of entries) {
    const escaped = entry.form === undefined && entry.payload.includes("\n");
    const payload = escaped ? copyText(entry.payload) : entry.payload;
    const speaker = speakerText(entry);
    const isUsual = !escaped && hasUsualHead(entry);
    const head = isUsual ? "" : headOf(entry, speaker, escaped);
    const chars = usualHeadBytes + speaker.length + head.length + payload.length;
    bytes = withRoom(bytes, at, chars * bytesPerCharMax + 1);
    if (at > 0) bytes[at++] = newline;
    at = isUsual ? writeUsualHead(bytes, at, entry, speaker) : at + bytes.write(head, at);
    const written = bytes.write(payload, at);
    entry.bytes = escaped ? Buffer.byteLength(entry.payload) : written;
    at += written;
  }
  const text = bytes.subarray(0, at);
  const codec = at >= compressFromBytes ? 1 : 0;
  const body = codec === 1 ? Bun.zstdCompressSync(text, { level: 1 }) : Buffer.from(text);
  return { body, codec, crc: Bun.hash.crc32(body) };
}

/** What is compressed at once needs no memory of its own, which would be fresh each time, and fetched page by page. */
const scratch = Buffer.allocUnsafeSlow(512 * 1024);
const bytesPerCharMax = 3;
const newline = 10;

/**
 * @param first seq of the group's first entry
 * @throws if the bytes are not what was written (checksum, codec or shape); the message says which. No entry of the
 * group is returned then.
 */
export function decodeGroup(group: Group, first: number, count: number): Entry[] {
  if (Bun.hash.crc32(group.body) !== group.crc) throw new Error("its checksum does not match its bytes");
  if (group.codec !== 0 && group.codec !== 1)
    throw new Error(`its codec ${group.codec} is unknown to this version`);
  const plain = group.codec === 1 ? Bun.zstdDecompressSync(group.body) : group.body;
  const lines = linesOf(Buffer.from(plain.buffer, plain.byteOffset, plain.length));
  if (plain !== group.body) letGo(plain);
  if (lines.length !== count) throw new Error(`it holds ${lines.length} entries, not ${count}`);
  return lines.map((line, i) => entryOf(line, first + i));
}

/** Each is a string of its own: cut from one of the whole group, any of an entry that somebody keeps would keep the text of all. */
function linesOf(plain: Buffer): string[] {
  const encoding = isAscii(plain) ? "latin1" : "utf8";
  const lines: string[] = [];
  let from = 0;
  for (let to = plain.indexOf(newline); to >= 0; to = plain.indexOf(newline, from)) {
    lines.push(plain.toString(encoding, from, to));
    from = to + 1;
  }
  lines.push(plain.toString(encoding, from));
  return lines;
}
