/**
 * What an entry is in Kafka: an event becomes the ValidatedOutput that the consumers of existing pipelines read, a reject their
 * ErrorMessage, both with the device as their key.
 *
 * Numbers are passed on digit by digit, for the text of the payload is cut and not parsed (1.0 stays 1.0, 2^60 keeps its digits); what
 * does not change from one message of a device to the next is kept as text. Their metadata takes scalars and no null, and their
 * timestamps have no zone: they are UTC.
 */
import { createHash } from "node:crypto";
import type { Entry } from "../../core/entry.ts";
import { ownText } from "../../core/own-text.ts";
import { murmur2 } from "../../kafka/murmur2.ts";
import { metricsOf } from "./metrics.ts";

export interface Encoder {
  /** Of the entries that follow: the start of the spool that they belong to. */
  begin(epoch: string): void;
  /** The value of its record. */
  valueOf(entry: Entry): string;
  keyOf(entry: Entry): Key;
}

export interface Key {
  /** null: the entry names no device. */
  readonly bytes: Uint8Array | null;
  /** What the partition is counted from. */
  readonly hash: number;
}

interface Frame extends Key {
  readonly siteId: string | null;
  /** Between the time and the values. */
  readonly device: string;
  /** Of its last message: the names of the metrics, and what stands between the values and seq. */
  names: readonly string[];
  rest: string;
  /** What of that follows the names. */
  readonly metadata: string;
}

type Frames = Map<string | null, Map<string | null, Map<string | null, Frame>>>;

/** Devices whose frame is kept; beyond, all are forgotten. */
const framesMax = 10_000;
/** Longer lists of names are not kept. */
const labelsCharsMax = 1_000;
const noKey = { bytes: null } as const;

export function createEncoder(gatewayId: string, named: "device" | "tenant/device"): Encoder {
  /** By message type, tenant and device: to make one key of the three cost more than all the rest. */
  const frames: Frames = new Map();
  let size = 0;
  const secondText = lastOf((second) => new Date(second * 1000).toISOString().slice(0, -4));
  let idText: (high: number) => string = String;

  function frameOf(entry: Entry): Frame {
    const { msgType, tenantId, deviceId, siteId } = entry;
    const found = frames.get(msgType)?.get(tenantId)?.get(deviceId);
    if (found?.siteId === siteId) return found;
    if (size >= framesMax) {
      frames.clear();
      size = 0;
    }
    const made = newFrame(entry, named);
    const devices = within(within(frames, msgType), tenantId);
    if (!devices.has(deviceId)) size += 1;
    devices.set(deviceId, made);
    return made;
  }

  function timeText(ms: number, ns: number): string {
    const second = Math.floor(ms / 1000);
    return `${secondText(second)}${threeDigits[ms - second * 1000]}${threeDigits[(ns / 1000) | 0]}`;
  }

  function head({ seq }: Entry, ms: number, ns: number): string {
    const id = idText(Math.floor(seq / idsPerText)) + twoHex[seq % idsPerText];
    return `{"request_id":"${id}","timestamp":"${timeText(ms, ns)}"`;
  }

  function validated(entry: Entry): string {
    const frame = frameOf(entry);
    const { names, values, seq } = metricsOf(entry.payload, frame.names);
    const rest = names === frame.names ? frame.rest : restOf(frame, names);
    const begin = head(entry, entry.eventMs ?? entry.receivedMs, entry.eventNs);
    const end = seq === "" ? "}}" : `,"seq":${seq}}}`;
    return `${begin}${frame.device}${values}${rest}${end}`;
  }

  function failed(entry: Entry): string {
    const { reason, detail, topic, tenantId, siteId, msgType, payload } = entry;
    const error = JSON.stringify(detail === null ? `${reason}` : `${reason}: ${detail}`);
    const known = JSON.stringify({
      device_id: nameOf(entry, named),
      tenant_id: tenantId,
      site_id: siteId,
      msg_type: msgType,
      topic,
    });
    const original = payload === "" ? known : `${known.slice(0, -1)},"payload":${payload}}`;
    return `${head(entry, entry.receivedMs, 0)},"service":"sluice","error":${error},"original_message":${original}}`;
  }

  return {
    begin(epoch) {
      const prefix = idPrefix(gatewayId, epoch);
      idText = lastOf((high) => prefix + high.toString(16).padStart(10, "0"));
    },
    valueOf: (entry) => (entry.kind === "event" ? validated(entry) : failed(entry)),
    keyOf: (entry) => (entry.deviceId === null ? { ...noKey, hash: entry.seq } : frameOf(entry)),
  };
}

function newFrame(entry: Entry, named: "device" | "tenant/device"): Frame {
  const { siteId, tenantId, msgType } = entry;
  const name = nameOf(entry, named) ?? "";
  const bytes = new TextEncoder().encode(name);
  const type = msgType ?? "";
  const metadata = {
    datatype_id: type,
    datatype_name: type,
    datatype_unit: "",
    datatype_category: type,
    persist: true,
    tenant_id: tenantId ?? "",
    site_id: siteId ?? "",
    msg_type: type,
  };
  const frame: Frame = {
    bytes,
    hash: murmur2(bytes) & 0x7fffffff,
    siteId,
    device: ownText(`,"device_id":${JSON.stringify(name)},"values":[`),
    names: [],
    rest: "",
    metadata: `,"index":${JSON.stringify(type)},"metadata":${JSON.stringify(metadata).slice(0, -1)}`,
  };
  restOf(frame, []);
  return frame;
}

/** What stands between values and seq; it is kept for the device's next message. */
function restOf(frame: Frame, names: readonly string[]): string {
  const labels = names.join(",");
  const rest = `],"label":[${labels}],"labels":[${labels}]${frame.metadata}`;
  if (labels.length > labelsCharsMax) return rest;
  frame.names = names.map(wholeName);
  return (frame.rest = ownText(rest));
}

/** The same few names come again and again. */
const wholeNames = new Map<string, string>();
const wholeNamesMax = 1_000;

function wholeName(name: string): string {
  const known = wholeNames.get(name);
  if (known !== undefined) return known;
  if (wholeNames.size >= wholeNamesMax) wholeNames.clear();
  const made = ownText(name);
  wholeNames.set(made, made);
  return made;
}

function within<V>(maps: Map<string | null, Map<string | null, V>>, key: string | null) {
  let found = maps.get(key);
  if (found === undefined) maps.set(key, (found = new Map()));
  return found;
}

function nameOf({ tenantId, deviceId }: Entry, named: "device" | "tenant/device"): string | null {
  return named === "device" || deviceId === null ? deviceId : `${tenantId}/${deviceId}`;
}

/**
 * All but the last group of an entry's request_id: the same entry has the same id however often it is sent. RFC 9562 version 8; a
 * version 5 would cost a hash per message.
 */
function idPrefix(gatewayId: string, epoch: string): string {
  const hex = createHash("sha256").update(`${gatewayId}/${epoch}`).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(12, 15)}-a${hex.slice(15, 18)}-`;
}

/** The last text is remembered, for many entries in a row have the same. */
function lastOf(make: (of: number) => string): (of: number) => string {
  let last = Number.NaN;
  let text = "";
  return (of) => {
    if (of === last) return text;
    last = of;
    text = make(of);
    return text;
  };
}

const idsPerText = 256;
const twoHex = Array.from({ length: idsPerText }, (_, i) => i.toString(16).padStart(2, "0"));
const threeDigits = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, "0"));
