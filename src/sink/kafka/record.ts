/**
 * What an entry is in Kafka: an event becomes the ValidatedOutput that the consumers of existing pipelines read, a reject their
 * ErrorMessage, both with the device as their key.
 *
 * Numbers are passed on digit by digit, for the text of the payload is cut and not parsed (1.0 stays 1.0, 2^60 keeps its digits); what
 * does not change from one message of a device to the next is kept as bytes. Their metadata takes scalars and no null, and their
 * timestamps have no zone: they are UTC.
 */
import { createHash } from "node:crypto";
import type { Entry } from "../../core/entry.ts";
import { ownText } from "../../core/text/own-text.ts";
import { murmur2 } from "../../kafka/murmur2.ts";
import { Utf8 } from "../../kafka/utf8.ts";
import { metricsOf } from "./metrics.ts";

export interface Encoder {
  /** Of the entries that follow: the start of the spool that they belong to. */
  begin(epoch: string): void;
  /** The value of its record, good until the next is asked for. */
  valueOf(entry: Entry): Utf8;
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
  readonly device: Uint8Array;
  /** Of its last message. */
  ending: Ending;
}

/** What stands between the values and seq: one of all devices whose metrics have the same names. */
interface Ending {
  /** Of the metrics. */
  readonly names: readonly string[];
  readonly bytes: Uint8Array;
  /** What of that follows the names. */
  readonly metadata: string;
}

type Frames = Map<string | null, Map<string | null, Map<string | null, Frame>>>;

/** Frames that are kept, or two per device that may be cached, and bytes of their endings; beyond, all are forgotten. */
export const framesMax = 10_000;
export const endingsBytesMax = 16_777_216;
/** Longer ones are not kept. */
const endingBytesMax = 4_096;
const noKey = { bytes: null } as const;

/** @param devicesMax so many may be cached */
export function createEncoder(gatewayId: string, named: "device" | "tenant/device", devicesMax = 0): Encoder {
  /** By message type, tenant and device: to make one key of the three cost more than all the rest. */
  const frames: Frames = new Map();
  let size = 0;
  const endings = new Map<string, Ending>();
  let endingsBytes = 0;
  let prefix = "";
  let out = new Utf8();
  /** What the head in `out` was made of: until one of the two changes only its last digits are written. */
  let last: { readonly entry: Entry; readonly frame: Frame } | null = null;
  let begun = { high: Number.NaN, second: Number.NaN, bytes: 0 };

  /** Asked for twice per entry: for its key, and for its value. */
  function frameOf(entry: Entry): Frame {
    if (entry === last?.entry) return last.frame;
    const frame = lookUp(entry);
    last = { entry, frame };
    return frame;
  }

  function lookUp(entry: Entry): Frame {
    const { msgType, tenantId, deviceId, siteId } = entry;
    const found = frames.get(msgType)?.get(tenantId)?.get(deviceId);
    if (found?.siteId === siteId) return found;
    if (size >= Math.max(framesMax, 2 * devicesMax)) forget();
    const made = newFrame(entry, named, (metadata) => endingOf([], metadata));
    const devices = within(within(frames, msgType), tenantId);
    if (!devices.has(deviceId)) size += 1;
    devices.set(deviceId, made);
    return made;
  }

  function forget(): void {
    frames.clear();
    endings.clear();
    [size, endingsBytes] = [0, 0];
  }

  /** Of other names than those of the device's last message; kept for its next one, unless it is long. */
  function endingFor(frame: Frame, names: readonly string[]): Uint8Array {
    const ending = endingOf(names, frame.ending.metadata);
    if (ending.bytes.length <= endingBytesMax) frame.ending = ending;
    return ending.bytes;
  }

  function endingOf(names: readonly string[], metadata: string): Ending {
    const text = endingText(names, metadata);
    const known = endings.get(text);
    if (known !== undefined) return known;
    const bytes = encoder.encode(text);
    if (bytes.length > endingBytesMax) return { names: [], bytes, metadata };
    // With the frames, for each holds its ending.
    if (endingsBytes + bytes.length > endingsBytesMax) forget();
    endingsBytes += bytes.length;
    const ending = { names: names.map(ownText), bytes, metadata: ownText(metadata) };
    endings.set(ownText(text), ending);
    return ending;
  }

  /** Begins a value with what all have. */
  function head({ seq }: Entry, ms: number, ns: number): void {
    const high = Math.floor(seq / idsPerHead);
    const second = Math.floor(ms / 1000);
    if (high !== begun.high || second !== begun.second) {
      const time = new Date(second * 1000).toISOString().slice(0, -4);
      out.length = 0;
      out.string(`${idHead}${prefix}${high.toString(16).padStart(10, "0")}00","timestamp":"${time}000000"`);
      begun = { high, second, bytes: out.length };
    }
    out.length = begun.bytes;
    const low = seq % idsPerHead;
    out.buffer[idEnd - 2] = hexDigits.charCodeAt(low >> 4);
    out.buffer[idEnd - 1] = hexDigits.charCodeAt(low & 15);
    out.threeDigits(begun.bytes - 7, ms - second * 1000);
    out.threeDigits(begun.bytes - 4, (ns / 1000) | 0);
  }

  function validated(entry: Entry): void {
    const frame = frameOf(entry);
    head(entry, entry.eventMs ?? entry.receivedMs, entry.eventNs);
    out.bytes(frame.device);
    const { names, seq } = metricsOf(entry.payload, frame.ending.names, out);
    out.bytes(names === frame.ending.names ? frame.ending.bytes : endingFor(frame, names));
    if (seq !== "") {
      out.slice(',"seq":', 0, 7);
      out.slice(seq, 0, seq.length);
    }
    out.slice("}}", 0, 2);
  }

  function failed(entry: Entry): void {
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
    head(entry, entry.receivedMs, 0);
    out.string(`,"service":"sluice","error":${error},"original_message":${original}}`);
  }

  return {
    begin(epoch) {
      prefix = idPrefix(gatewayId, epoch);
      out = new Utf8();
      begun = { high: Number.NaN, second: Number.NaN, bytes: 0 };
    },
    valueOf(entry) {
      if (entry.kind === "event") validated(entry);
      else failed(entry);
      return out;
    },
    keyOf: (entry) => (entry.deviceId === null ? { ...noKey, hash: entry.seq } : frameOf(entry)),
  };
}

function newFrame(
  entry: Entry,
  named: "device" | "tenant/device",
  endingOf: (metadata: string) => Ending,
): Frame {
  const { siteId, tenantId, msgType } = entry;
  const name = nameOf(entry, named) ?? "";
  const bytes = encoder.encode(name);
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
  return {
    bytes,
    hash: murmur2(bytes) & 0x7fffffff,
    siteId,
    device: encoder.encode(`,"device_id":${JSON.stringify(name)},"values":[`),
    ending: endingOf(`,"index":${JSON.stringify(type)},"metadata":${JSON.stringify(metadata).slice(0, -1)}`),
  };
}

function endingText(names: readonly string[], metadata: string): string {
  const labels = names.join(",");
  return `],"label":[${labels}],"labels":[${labels}]${metadata}`;
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

const idsPerHead = 256;
const hexDigits = "0123456789abcdef";
const idHead = '{"request_id":"';
const idEnd = idHead.length + "01234567-0123-8123-a123-0123456789ab".length;
const encoder = new TextEncoder();
