/**
 * What a request asks: which messages it holds and who they say they are from.
 *
 *   POST /ingest/v1/tenant/{tenant}/device/{device}/{type}    one message, the envelope
 *   POST /ingest/v1/batch                                     JSON array or NDJSON of {tenant_id, device_id, msg_type, …envelope}
 *   POST /ingest/v1/topic/{topic…}                            one message, as it would be published on that topic
 */
import type { IncomingMessage } from "node:http";
import type { MessageAddress } from "../../core/message.ts";
import { ownTopic } from "../../core/topic-level.ts";
import { Refused } from "./answers.ts";
import { itemsOf } from "./batch.ts";

export interface Sent {
  readonly topic: string;
  readonly address?: MessageAddress;
  readonly payload: Uint8Array;
}

export interface Route {
  readonly isBatch: boolean;
  /** The same for every spelling of its URL: a sender that comes again may come by another proxy. */
  readonly path: string;
  /** The topic, if the request names one. */
  readonly topic?: string;
  /** @param bytesMax what a message may have */
  sent(body: Buffer, bytesMax: number): Iterable<Sent>;
}

const root = "/ingest/v1/";
/** As a proxy is asked; whoever is asked must take it (RFC 9112, 3.2.2). */
const absolute = /^https?:\/\/[^/?#]*/i;

/** @throws Refused: no such place, or a name that is percent-encoded wrongly */
export function routeOf({ url = "", method }: Pick<IncomingMessage, "url" | "method">): Route {
  const [path = ""] = url.replace(absolute, "").split("?", 1);
  if (!path.startsWith(root)) throw new Refused(404, `messages are taken below ${root}`);
  if (method !== "POST") throw new Refused(405, "messages are sent with POST");
  const levels = path.slice(root.length).split("/").map(decoded);
  const spelled = root + levels.join("/");
  const [place, ...rest] = levels;
  if (place === "batch" && rest.length === 0) return { isBatch: true, path: spelled, sent: batchOf };
  if (place === "topic" && rest.join("") !== "") return topicRoute(spelled, rest.join("/"));
  const [tenantId = "", device, deviceId = "", msgType = "", ...more] = rest;
  if (place === "tenant" && device === "device" && more.length === 0 && msgType !== "") {
    const address = { tenantId, deviceId, msgType };
    return { isBatch: false, path: spelled, sent: (payload) => [{ ...placed(address), payload }] };
  }
  throw new Refused(
    404,
    `there are ${root}tenant/{tenant}/device/{device}/{type}, ${root}batch and ${root}topic/{topic}`,
  );
}

function topicRoute(path: string, topic: string): Route {
  return { isBatch: false, path, topic, sent: (payload) => [{ topic, payload }] };
}

function* batchOf(body: Buffer, bytesMax: number): Generator<Sent> {
  for (const { bytes, names } of itemsOf(body, bytesMax)) {
    const { tenant_id: tenant, device_id: device, msg_type: type } = names;
    const address = { tenantId: nameOf(tenant), deviceId: nameOf(device), msgType: nameOf(type) };
    yield { ...placed(address), payload: bytes };
  }
}

/** A device that numbers itself may be 17. */
function nameOf(value: unknown): string {
  return ["string", "number", "bigint"].includes(typeof value) ? String(value) : "";
}

/** The topic as the same message would have over MQTT. */
function placed(address: MessageAddress): { readonly topic: string; readonly address: MessageAddress } {
  const { tenantId, deviceId, msgType } = address;
  return { topic: ownTopic(tenantId, deviceId, msgType), address };
}

function decoded(level: string): string {
  try {
    return decodeURIComponent(level);
  } catch {
    throw new Refused(400, `a part of the path is not percent-encoded UTF-8`);
  }
}

/** The token in the header. */
export function tokenOf({ headers }: Pick<IncomingMessage, "headers">): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
  const token = bearer ?? headers["x-provision-token"];
  return typeof token === "string" && token !== "" ? token : undefined;
}

const keyCharsMax = 255;

/** Idempotency-Key (draft-ietf-httpapi-idempotency-key-header). @throws Refused if it cannot be one */
export function idempotencyKeyOf({ headers }: Pick<IncomingMessage, "headers">): string | null {
  const key = headers["idempotency-key"];
  if (key === undefined) return null;
  if (typeof key !== "string" || key === "" || key.length > keyCharsMax)
    throw new Refused(400, `Idempotency-Key has 1 to ${keyCharsMax} characters`);
  return key;
}
