/**
 * Stage "envelope": what every message must say of itself, whatever its type.
 *
 * The topic is the identity; a payload need not repeat it, but must not contradict it. null counts as absent throughout, since
 * many encoders write null for a field that they do not have.
 */
import type { Body } from "./decode.ts";
import { checkMetrics, type metricReasons } from "./metrics.ts";
import type { Address } from "./topic.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

export const envelopeReasons = {
  TENANT_MISMATCH_TOPIC_VS_PAYLOAD: {
    help: "The payload's tenant_id is not the tenant of the topic.",
    remedy: "Mend the device's configuration; the topic is what counts.",
  },
  DEVICE_MISMATCH_TOPIC_VS_PAYLOAD: {
    help: "The payload's device_id is not the device of the topic.",
    remedy: "Mend the device's configuration; the topic is what counts.",
  },
  MSG_TYPE_MISMATCH_TOPIC_VS_PAYLOAD: {
    help: "The payload's msg_type is not the last level of the topic.",
    remedy: "Mend the device's configuration; the topic is what counts.",
  },
  MISSING_SITE_ID: {
    help: "The payload has no site_id, or one that is not a non-empty string.",
    remedy: "Send the site that the device is registered for.",
  },
  BAD_SEQ: {
    help: "seq is not a whole number within ±(2^53 − 1).",
    remedy: "Send a whole number, or leave seq out.",
  },
} as const satisfies Reasons;

type Code = keyof typeof envelopeReasons | keyof typeof metricReasons;

/** null where there is nothing to object to. */
export function checkEnvelope(body: Body, address: Address): Rejection<Code> | null {
  const mismatch = contradiction(body, address);
  if (mismatch !== null) return mismatch;
  if (siteOf(body) === null) return rejection("MISSING_SITE_ID");
  const seq = body["seq"] ?? null;
  if (seq !== null && !Number.isSafeInteger(seq))
    return rejection("BAD_SEQ", `seq is ${JSON.stringify(seq)}`);
  return checkMetrics(body["metrics"]);
}

function contradiction(body: Body, address: Address): Rejection<Code> | null {
  if (contradicts(body["tenant_id"], address.tenantId)) return rejection("TENANT_MISMATCH_TOPIC_VS_PAYLOAD");
  if (contradicts(body["device_id"], address.deviceId)) return rejection("DEVICE_MISMATCH_TOPIC_VS_PAYLOAD");
  if (contradicts(body["msg_type"], address.msgType)) return rejection("MSG_TYPE_MISMATCH_TOPIC_VS_PAYLOAD");
  return null;
}

/** A device that numbers itself may claim 17 where its topic says "17". */
function contradicts(claim: unknown, level: string): boolean {
  if (claim === undefined || claim === null) return false;
  return typeof claim === "number" ? String(claim) !== level : claim !== level;
}

/** null where there is none that could be stored as one. */
export function siteOf(body: Body): string | null {
  const site = body["site_id"];
  return typeof site === "string" && site !== "" ? site : null;
}
