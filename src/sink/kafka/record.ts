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
  /** Between the time and the values, between labels and seq, and the end. */
  readonly device: string;
  readonly rest: string;
}

/** Devices whose frame is kept; beyond, all are forgotten. */
const framesMax = 10_000;
const noKey = { bytes: null } as const;

export function createEncoder(gatewayId: string, named: "device" | "tenant/device"): Encoder {
  const frames = new Map<string, Frame>();
  const secondOf = secondsText();
  let ids = "";

  function frameOf(entry: Entry): Frame {
    const key = `${entry.tenantId}/${entry.deviceId}/${entry.msgType}`;
    const found = frames.get(key);
    if (found !== undefined && found.siteId === entry.siteId) return found;
    if (frames.size >= framesMax) frames.clear();
    const made = newFrame(entry, named);
    frames.set(key, made);
    return made;
  }

  function timeText(ms: number, ns: number): string {
    const second = Math.floor(ms / 1000);
    const micros = (ms - second * 1000) * 1000 + Math.floor(ns / 1000);
    return secondOf(second) + String(micros).padStart(6, "0");
  }

  function head(entry: Entry, ms: number, ns: number): string {
    const id = ids + entry.seq.toString(16).padStart(12, "0");
    return `{"request_id":"${id}","timestamp":"${timeText(ms, ns)}"`;
  }

  function validated(entry: Entry): string {
    const { device, rest } = frameOf(entry);
    const { labels, values, seq } = metricsOf(entry.payload);
    const begin = head(entry, entry.eventMs ?? entry.receivedMs, entry.eventNs);
    const end = seq === "" ? "}}" : `,"seq":${seq}}}`;
    return `${begin}${device}${values}],"label":[${labels}],"labels":[${labels}]${rest}${end}`;
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
    begin: (epoch) => (ids = idPrefix(gatewayId, epoch)),
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
  return {
    bytes,
    hash: murmur2(bytes) & 0x7fffffff,
    siteId,
    device: `,"device_id":${JSON.stringify(name)},"values":[`,
    rest: `,"index":${JSON.stringify(type)},"metadata":${JSON.stringify(metadata).slice(0, -1)}`,
  };
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

/** ISO 8601 up to the fraction; the last second is remembered. */
function secondsText(): (second: number) => string {
  let last = Number.NaN;
  let text = "";
  return (second) => {
    if (second === last) return text;
    last = second;
    text = new Date(second * 1000).toISOString().slice(0, -4);
    return text;
  };
}
