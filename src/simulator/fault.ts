/**
 * The faults that a simulated device can have: one row per fault, with the verdict that the gateway must give.
 *
 * A fault that changes one message has `spoil`. One that concerns the order or number of messages, or the sender, is
 * carried out by the fleet (fleet.ts) and only named here. The verdicts hold for REQUIRE_TOKEN=1 and for rate limits
 * that the run stays below. Every message still matches the filter tenant/+/device/+/+: what a subscriber never
 * receives could not be reconciled.
 */
import type { Random } from "./random.ts";

/** Larger than the MAX_PAYLOAD_BYTES of any known deployment (8192 and 16384), within what every broker passes on. */
const oversizeBytes = 20_000;
const dayMs = 86_400_000;

/** A message before it is turned into bytes. */
export interface Draft {
  tenantId: string;
  deviceId: string;
  msgType: string;
  body: Record<string, unknown>;
  metrics: Record<string, unknown>;
  /** Sent instead of the body. */
  text?: string;
}

interface Fault {
  readonly help: string;
  /** "event", or the reason code of the reject. */
  readonly expected: string;
  readonly spoil?: (draft: Draft, random: Random, atMs: number) => void;
}

export const faults = {
  "bad-token": {
    help: "The token is not the device's.",
    expected: "TOKEN_INVALID",
    spoil: ({ body }) => void (body["provision_token"] = `${String(body["provision_token"])}x`),
  },
  "no-token": {
    help: "There is no token.",
    expected: "TOKEN_MISSING",
    spoil: ({ body }) => void delete body["provision_token"],
  },
  "token-not-set": {
    help: "The registry holds no token for the device.",
    expected: "TOKEN_NOT_SET_IN_REGISTRY",
  },
  "unknown-device": {
    help: "The device is not in the registry.",
    expected: "UNREGISTERED_DEVICE",
    spoil: (draft, random) => {
      draft.deviceId = `ghost-${String(random.whole(1, 9999)).padStart(4, "0")}`;
      draft.body["device_id"] = draft.deviceId;
    },
  },
  "revoked-device": { help: "The device is revoked in the registry.", expected: "DEVICE_REVOKED" },
  "wrong-site": {
    help: "The site is not the one that the registry has for the device.",
    expected: "SITE_MISMATCH_REGISTRY_VS_PAYLOAD",
    spoil: ({ body }) => void (body["site_id"] = `${String(body["site_id"])}-elsewhere`),
  },
  "missing-site": {
    help: "There is no site.",
    expected: "MISSING_SITE_ID",
    spoil: ({ body }) => void delete body["site_id"],
  },
  "wrong-tenant": {
    help: "The payload names another tenant than the topic.",
    expected: "TENANT_MISMATCH_TOPIC_VS_PAYLOAD",
    spoil: ({ body }) => void (body["tenant_id"] = "somebody-else"),
  },
  "wrong-device": {
    help: "The payload names another device than the topic.",
    expected: "DEVICE_MISMATCH_TOPIC_VS_PAYLOAD",
    spoil: ({ body }) => void (body["device_id"] = "dev-0000"),
  },
  "wrong-type": {
    help: "The payload names another message type than the topic.",
    expected: "MSG_TYPE_MISMATCH_TOPIC_VS_PAYLOAD",
    spoil: ({ body }) => void (body["msg_type"] = "heartbeat"),
  },
  "malformed-json": {
    help: "The payload ends in the middle.",
    expected: "MALFORMED_JSON",
    spoil: (draft) => void (draft.text = JSON.stringify(draft.body).slice(0, -1)),
  },
  "not-an-object": {
    help: "The payload is JSON, but not an object.",
    expected: "NOT_AN_OBJECT",
    spoil: (draft, random) => void (draft.text = random.pick(['["ts"]', "42", '"on"', "null", "true"])),
  },
  "nul-text": {
    help: "A text holds the character U+0000, which PostgreSQL cannot store.",
    expected: "UNSTORABLE_TEXT",
    spoil: ({ metrics }) => void (metrics["note"] = "a\u0000b"),
  },
  "bad-timestamp": {
    help: "The timestamp is not a time.",
    expected: "BAD_TIMESTAMP",
    spoil: ({ body }, random) =>
      void (body["ts"] = random.pick<unknown>(["yesterday", "2026-13-45T25:61:61Z", true, 1e300, ""])),
  },
  "bad-seq": {
    help: "The sequence number is not a whole number.",
    expected: "BAD_SEQ",
    spoil: ({ body }, random) => void (body["seq"] = random.pick<unknown>([1.5, "12", 2 ** 60, true])),
  },
  oversize: {
    help: "The payload is larger than the gateway accepts.",
    expected: "PAYLOAD_TOO_LARGE",
    spoil: ({ metrics }) => void (metrics["note"] = "x".repeat(oversizeBytes)),
  },
  "bad-topic": {
    help: "A level of the topic is empty.",
    expected: "BAD_TOPIC_FORMAT",
    spoil: (draft, random) => void (draft[random.pick(["tenantId", "deviceId", "msgType"])] = ""),
  },
  "nested-metric": {
    help: "A metric is an object or a list.",
    expected: "METRIC_VALUE_INVALID",
    spoil: ({ metrics }, random) => void (metrics["accel"] = random.pick<unknown>([{ x: 1 }, [1, 2, 3]])),
  },
  "bad-metric-key": {
    help: "The name of a metric is empty, too long or holds a control character.",
    expected: "METRIC_KEY_INVALID",
    spoil: ({ metrics }, random) => void (metrics[random.pick(["", "k".repeat(129), "line\nbreak"])] = 1),
  },
  "too-many-metrics": {
    help: "There are more than 50 metrics.",
    expected: "TOO_MANY_METRICS",
    spoil: ({ metrics }) => {
      for (let i = 0; i < 51; i++) metrics[`m${i}`] = i;
    },
  },
  "clock-skew": {
    help: "The device's clock is wrong by up to a day and a half.",
    expected: "event",
    spoil: ({ body }, random, atMs) =>
      void (body["ts"] = new Date(atMs + (random.next() - 0.5) * 3 * dayMs).toISOString()),
  },
  "odd-timestamp": {
    help: "The time is an epoch in s or ms, has no zone, or is absent.",
    expected: "event",
    spoil: ({ body }, random, atMs) => {
      const local = new Date(atMs).toISOString().slice(0, -1);
      body["ts"] = random.pick<unknown>([atMs, Math.floor(atMs / 1000), atMs / 1000, local, undefined]);
    },
  },
  "other-type": {
    help: "The message type is neither telemetry nor heartbeat.",
    expected: "event",
    spoil: (draft) => {
      draft.msgType = "alarm";
      draft.body["msg_type"] = "alarm";
    },
  },
  duplicate: { help: "The same bytes are published twice: a new message each time.", expected: "event" },
  reordering: { help: "A message arrives after the one that followed it.", expected: "event" },
  burst: { help: "A device sends several messages at once, as after an outage.", expected: "event" },
} as const satisfies Readonly<Record<string, Fault>>;

export type FaultName = keyof typeof faults;
/** The probability, from 0 to 1, that the next message has the fault; the sum is at most 1. */
export type FaultShares = Readonly<Partial<Record<FaultName, number>>>;

export const faultNames = Object.keys(faults) as FaultName[];
const allShare = 0.005;

/** The row as a plain fault, for code that works on any fault. */
export function faultOf(name: FaultName): Fault {
  return faults[name];
}

/**
 * Reads "none", "all" (0.005 each), "all=0.01" or "bad-token=0.02,oversize=0.01"; a later share overrides an earlier.
 * @throws with a sentence for the user.
 */
export function parseFaults(text: string): FaultShares {
  const shares: Partial<Record<FaultName, number>> = {};
  for (const item of text.split(",").map((part) => part.trim())) {
    if (item === "none" || item === "") continue;
    const [name = "", given] = item.split("=");
    const names = name === "all" ? faultNames : faultNames.filter((known) => known === name);
    const share = given === undefined ? allShare : Number(given);
    if (names.length === 0)
      throw new Error(`there is no fault "${name}": choose from all, none, ${faultNames.join(", ")}`);
    if (given === "" || !(share >= 0 && share <= 1))
      throw new Error(`"${item}": a share is a number from 0 to 1`);
    for (const known of names) shares[known] = share;
  }
  const sum = Object.values(shares).reduce((total, share) => total + share, 0);
  if (sum > 1 + 1e-9) throw new Error(`the shares add up to ${sum}: they may add up to at most 1`);
  return shares;
}
