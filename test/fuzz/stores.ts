/** Entries into each store's own format and back, each by a reader that knows nothing about the writer. */
import { type Entry, nanoseconds, telemetryOf } from "../../src/core/entry.ts";
import { decodeGroup, encodeGroup } from "../../src/spool/codec.ts";
import { quarantineRows, rawRows } from "../../src/store/postgres/copy.ts";
import { grammarOf, type Grammar } from "../../src/sink/influx/grammar.ts";
import { encodeLine, textOf, type Table } from "../../src/sink/influx/line.ts";
import { Unwritable } from "../../src/sink/influx/names.ts";
import { countRejects } from "../../src/store/rows.ts";
import { type FieldValue, parseLine } from "../kit/lineparser.ts";
import { rowText } from "../kit/copy.ts";
import { readCopy, type Row } from "./copyreader.ts";

/** @throws if the spool's codec does not give the entries back as they were, or what is kept of who speaks is not what the entry says */
export function throughSpool(entries: readonly Entry[]): void {
  // The messages of a group may all be known, and then it has no row.
  if (entries.length === 0) return;
  const back = decodeGroup(encodeGroup(entries), entries[0]?.seq ?? 0, entries.length);
  // What is of this process alone, an entry that was kept does not have.
  for (const [at, { address, form: _, ...entry }] of entries.entries()) {
    const { topic, tenantId, deviceId } = address ?? entry;
    if (topic !== entry.topic || tenantId !== entry.tenantId || deviceId !== entry.deviceId)
      throw new Error(`${JSON.stringify(entry)} is kept as ${JSON.stringify(address)}`);
    for (const [key, value] of Object.entries(entry)) {
      const kept = back[at]?.[key as keyof Entry];
      if (!Object.is(kept, value))
        throw new Error(`the spool keeps ${key} ${JSON.stringify(value)} as ${JSON.stringify(kept)}`);
    }
  }
}

/** @throws if a row of COPY is not the entry's */
export function throughCopy(entries: readonly Entry[]): void {
  const raw = entries.filter(({ kind, mirror }) => kind === "event" || (kind === "reject" && mirror));
  compare(
    readCopy(entries.map((entry) => rowText(rawRows, entry)).join("")),
    raw,
    (entry, [accepted, payload]) => {
      if (entry.kind === "event") return accepted === "t" && payload === entry.payload;
      const said = JSON.parse(payload ?? "") as Record<string, unknown>;
      return accepted === "f" && said["_rejected"] === true && said["_reject_reason"] === entry.reason;
    },
  );
  const kept = entries.filter(({ kind, payload }) => kind === "reject" && payload !== "");
  compare(
    readCopy(entries.map((entry) => rowText(quarantineRows, entry)).join("")),
    kept,
    (entry, [reason, payload]) => reason === entry.reason && payload === entry.payload,
  );
  const counted = countRejects(entries).reduce((sum, { cnt }) => sum + cnt, 0);
  if (counted !== entries.filter(({ kind }) => kind === "reject").length)
    throw new Error("rejects are not counted rightly");
}

function compare(
  rows: readonly Row[],
  entries: readonly Entry[],
  rest: (entry: Entry, cells: Row) => boolean,
): void {
  if (rows.length !== entries.length)
    throw new Error(`COPY has ${rows.length} rows for ${entries.length} entries`);
  for (const [at, entry] of entries.entries()) {
    const [received, event, topic, tenant, device, type, site, ...cells] = rows[at] ?? [];
    const times = Date.parse(received ?? "") === entry.receivedMs && (event ?? null) === eventText(entry);
    const names =
      topic === entry.topic &&
      tenant === entry.tenantId &&
      site === entry.siteId &&
      device === entry.deviceId &&
      type === entry.msgType;
    if (!times || !names || cells.length !== 2 || !rest(entry, cells))
      throw new Error(`COPY writes another row: ${JSON.stringify(rows[at])}`);
  }
}

function eventText({ eventMs, eventNs }: Entry): string | null {
  if (eventMs === null) return null;
  return `${new Date(eventMs).toISOString().slice(0, -1)}${String(Math.floor(eventNs / 1000)).padStart(3, "0")}Z`;
}

const grammars: readonly Grammar[] = [grammarOf("v3", true, false), grammarOf("file", false, true)];

/** @returns "written", "empty" (nothing to write) or "refused". @throws if a line does not say what the event says */
export function throughLine(entry: Entry, table: Table): "written" | "empty" | "refused" {
  const grammar = grammars[entry.seq % 2] ?? grammarOf("v3", true, false);
  let text: string;
  try {
    const line = encodeLine(entry, table, grammar);
    if (line === null) return "empty";
    text = textOf(line);
  } catch (error) {
    if (error instanceof Unwritable && error.message !== "") return "refused";
    throw error;
  }
  const { measurement, tags, fields, time } = parseLine(text);
  const { seq, metrics } = telemetryOf(entry);
  const expected = Object.entries({ ...metrics, ...(seq !== undefined && { seq }) }).filter(
    ([, value]) => value !== null,
  );
  const isSame =
    measurement === entry.msgType &&
    tags.get("device_id") === entry.deviceId &&
    tags.get("site_id") === entry.siteId &&
    tags.get("tenant_id") === (grammar.tenantTag ? (entry.tenantId ?? undefined) : undefined) &&
    time === BigInt(nanoseconds(entry.eventMs ?? 0, entry.eventNs)) &&
    fields.size === expected.length &&
    expected.every(([name, value]) => isValue(fields.get(name), value));
  if (!isSame || (!grammar.lineFeed && text.includes("\n")))
    throw new Error(`a line that says something else: ${text}`);
  return "written";
}

function isValue(field: FieldValue | undefined, value: unknown): boolean {
  if (field === undefined) return false;
  // Beyond 2^53 the line has the device's own digits, and the parsed payload does not.
  return field.type === "integer" ? Number(field.value) === value : field.value === value;
}
