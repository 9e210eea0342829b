/**
 * The stages of the judgement that need not know the device: topic, size, JSON, envelope, metrics, time.
 */
import { tokenOf } from "./authorize.ts";
import { isSpeaker, type Candidate } from "./candidate.ts";
import { decode, oversize, type sizeSettings } from "./decode.ts";
import { checkEnvelope, siteOf } from "./envelope.ts";
import { readForm } from "./forms.ts";
import { remarkOn } from "./metrics.ts";
import { timeFrom, type timeSettings } from "./time.ts";
import { addressIn } from "./topic.ts";
import { isRejection, type Rejection } from "./verdict.ts";
import type { Values } from "../core/settings.ts";

type Policy = Values<typeof sizeSettings & typeof timeSettings>;

/** Checks all that can be checked without knowing the device, and fills in the candidate as far as it gets. */
export function examine(candidate: Candidate, policy: Policy): Rejection | null {
  const address = addressIn({ topic: candidate.topic, address: candidate.given });
  if (!isRejection(address)) candidate.address = address;
  const large = oversize(candidate.bytes, candidate.wholeBytes, policy.payloadBytesMax);
  candidate.isOversize = large !== null;
  if (large !== null) return large;
  const known = readForm(candidate, policy);
  if (known !== undefined) return known;
  const decoded = decode(candidate.bytes);
  if (!isRejection(decoded)) {
    candidate.text = decoded.text;
    candidate.token = tokenOf(decoded.body);
    candidate.siteId = siteOf(decoded.body);
    if (candidate.token === undefined && isSpeaker(candidate)) candidate.proof = "connection";
  }
  // The names of a message in a batch stand in the message itself.
  if (candidate.given !== undefined && isRejection(decoded)) return decoded;
  // Only now, because the token must be known before the topic is blanked.
  if (isRejection(address)) return address;
  if (isRejection(decoded)) return decoded;
  const mayLeaveOutSite = candidate.proof === "connection" || candidate.tokenHash !== null;
  const why =
    checkEnvelope(decoded.body, address, mayLeaveOutSite, candidate.isJudged) ??
    timeFrom(candidate, decoded.body["ts"] ?? null, policy);
  if (why === null) candidate.remark = remarkOn(decoded.body, address.msgType);
  return why;
}
