/** What the merge script (scripts.ts) is given: the latest of each device, as JSON. */
import type { Event } from "../../core/entry.ts";
import {
  datatypeField,
  datatypeFields,
  isoWithoutZone,
  type Latest,
  persistOf,
  textOf,
  timeMs,
  timeNs,
} from "../../core/latest.ts";
import { kept } from "../../core/text/own-text.ts";
import { devicesPerCallMax, metricsPerGroupMax } from "./scripts.ts";

const charsPerCallMax = 1_000_000;

/** A surrogate without its other half is no UTF-8, and Redis' JSON refuses it. */
function quoted(text: string): string {
  return JSON.stringify(text.toWellFormed());
}

/** Names of metrics as JSON: the same few come again and again. */
const quotedName = kept(1_000, quoted);

/** Of fixed width: the later one is the greater text. Before 1970 is 1970. */
function stampOf(entry: Event): string {
  const ms = timeMs(entry);
  const ns = ms < 0 ? 0 : timeNs(entry);
  return `${digits(Math.max(0, ms), 13)}${digits(ns, 6)}-${digits(entry.seq, 15)}`;
}

const zeros = "000000000000000";

function digits(n: number, width: number): string {
  const text = String(n);
  return text.length >= width ? text : zeros.slice(text.length - width) + text;
}

/** Fields of the metadata, those that existing readers know first. */
function fieldsOf(device: Latest, gateway: string): string {
  const { eventMs: ms, seq, tenantId, siteId, msgType } = device.newest;
  let fields =
    `"persist","${persistOf(device)}","last_updated","${isoWithoutZone(ms)}","tenant_id",${quotedName(tenantId)}` +
    `,"site_id",${quotedName(siteId)},"msg_type",${quotedName(msgType)},"event_ms","${ms}"` +
    `,"seq","${seq}","gateway",${quotedName(gateway)}`;
  if (device.datatype === undefined) return fields;
  for (const field of datatypeFields) {
    const text = datatypeField(device, field);
    if (text !== undefined) fields += `,"${field}",${quoted(text)}`;
  }
  return fields;
}

/** Whole numbers and such are their own text in quotes. */
function valueOf(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(JSON.stringify(value)) : quoted(textOf(value));
}

/** One device, with a group per entry that brought values. */
export function argumentOf(device: Latest, gateway: string): string {
  const head = `[${quoted(device.name)},"${stampOf(device.newest)}",${device.receivedMs},[${fieldsOf(device, gateway)}]`;
  let text = head;
  let last: Event | undefined;
  let room = 0;
  for (const [metric, { entry, value }] of device.values) {
    if (entry !== last || room === 0) {
      text += `${last === undefined ? "" : "]"},["${stampOf(entry)}"`;
      last = entry;
      room = metricsPerGroupMax;
    }
    room--;
    text += `,${quotedName(metric)},${typeof value === "number" ? `"${value}"` : valueOf(value)}`;
  }
  return last === undefined ? `${text}]` : `${text}]]`;
}

interface Call {
  readonly text: string;
  /** Names of its devices. */
  readonly called: readonly string[];
}

/** At least one, which asks for the mark. Each is made when it is asked for. */
export function* callsOf(devices: Iterable<Latest>, gatewayId: string): Generator<Call> {
  let [text, called]: [string, string[]] = ["", []];
  for (const device of devices) {
    if (called.length >= devicesPerCallMax || text.length > charsPerCallMax) {
      yield { text: `[${text}]`, called };
      [text, called] = ["", []];
    }
    text += text === "" ? argumentOf(device, gatewayId) : `,${argumentOf(device, gatewayId)}`;
    called.push(device.name);
  }
  yield { text: `[${text}]`, called };
}
