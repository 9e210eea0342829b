/**
 * Stage "envelope": what every message must say about itself, whatever its type.
 *
 * The topic is the identity; a payload need not repeat it but must not contradict it. null counts as absent
 * throughout, because many encoders write null for a field that they do not have.
 */
import type { Address } from "../core/address.ts";
import type { Body } from "./decode.ts";
import { jsonOf } from "./mapping/envelope.ts";
import { checkMetrics, type metricReasons } from "./metrics.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

export const envelopeReasons = {
  TENANT_MISMATCH_TOPIC_VS_PAYLOAD: {
    help: "The payload's tenant_id is not the tenant of the topic.",
    remedy: "Fix the device's configuration; the topic decides.",
  },
  DEVICE_MISMATCH_TOPIC_VS_PAYLOAD: {
    help: "The payload's device_id is not the device of the topic.",
    remedy: "Fix the device's configuration; the topic decides.",
  },
  MSG_TYPE_MISMATCH_TOPIC_VS_PAYLOAD: {
    help: "The payload's msg_type is not the last level of the topic.",
    remedy: "Fix the device's configuration; the topic decides.",
  },
  MISSING_SITE_ID: {
    help: "The payload has no site_id, or its site_id is empty or not a string.",
    remedy: "Send the site for which the device is registered.",
  },
  BAD_SEQ: {
    help: "seq is not a whole number within ±(2^53 − 1).",
    remedy: "Send a whole number, or leave seq out.",
  },
} as const satisfies Reasons;

type Code = keyof typeof envelopeReasons | keyof typeof metricReasons;

/**
 * Returns null if nothing is wrong.
 * @param mayLeaveOutSite the device proved itself beside the payload, so its site is the registry's
 * @param isJudged whoever wrote it took that many metrics; its size bounds them here
 */
export function checkEnvelope(
  body: Body,
  address: Address,
  mayLeaveOutSite: boolean,
  isJudged: boolean,
): Rejection<Code> | null {
  const mismatch = contradiction(body, address);
  if (mismatch !== null) return mismatch;
  const isLeftOut = mayLeaveOutSite && (body["site_id"] ?? null) === null;
  if (siteOf(body) === null && !isLeftOut) return rejection("MISSING_SITE_ID");
  const seq = body["seq"] ?? null;
  if (seq !== null && !Number.isSafeInteger(seq)) return rejection("BAD_SEQ", `seq is ${jsonOf(seq)}`);
  return checkMetrics(body["metrics"], isJudged ? Number.POSITIVE_INFINITY : undefined);
}

function contradiction(body: Body, address: Address): Rejection<Code> | null {
  const { tenant_id: tenant, device_id: device, msg_type: type } = body;
  if (contradicts(tenant, address.tenantId))
    return rejection("TENANT_MISMATCH_TOPIC_VS_PAYLOAD", bothSay(tenant, address.tenantId));
  if (contradicts(device, address.deviceId))
    return rejection("DEVICE_MISMATCH_TOPIC_VS_PAYLOAD", bothSay(device, address.deviceId));
  if (contradicts(type, address.msgType))
    return rejection("MSG_TYPE_MISMATCH_TOPIC_VS_PAYLOAD", bothSay(type, address.msgType));
  return null;
}

/**
 * True if a payload's field contradicts the topic. A device with a numeric id may send 17 although its topic says
 * "17".
 */
function contradicts(claim: unknown, level: string): boolean {
  if (claim === undefined || claim === null) return false;
  return isNumber(claim) ? String(claim) !== level : claim !== level;
}

const isNumber = (value: unknown) => typeof value === "number" || typeof value === "bigint";

function bothSay(claim: unknown, level: string): string {
  const isName = typeof claim === "string" || isNumber(claim);
  return `topic says ${level}, payload says ${isName ? claim : "no name"}`;
}

/** The payload's site; null if it has none that could be stored as one. */
export function siteOf(body: Body): string | null {
  const site = body["site_id"];
  return typeof site === "string" && site !== "" ? site : null;
}
