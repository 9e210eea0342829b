/**
 * Stage "mapping": a message whose topic matches a mapping (MAPPINGS_FILE) becomes the events that the mapping
 * describes. From here on they pass the same checks as our own: sequence number, metrics, time, then the registry.
 *
 * One message may make several events, each with a candidate of its own; each keeps only its part of the message, in
 * the message's own form, so that a rejected one can be judged again without the others.
 */
import { timeFrom, type timeSettings } from "./time.ts";
import { decodeAny, oversize, type Loose } from "./decode.ts";
import { isSpeaker, type Candidate } from "./candidate.ts";
import type { RawEvent } from "./mapping/compile.ts";
import { envelopeOf, jsonOf, withRaw } from "./mapping/envelope.ts";
import type { Who } from "./mapping/identity.ts";
import type { Route } from "./mapping/routes.ts";
import { hideUnder } from "./mapping/token.ts";
import { checkMetrics, metricsMax, remarkOn } from "./metrics.ts";
import { readTimestamp } from "./timestamp.ts";
import { addressFor } from "./topic.ts";
import { isRejection, rejection, type Rejection } from "./verdict.ts";
import type { Values } from "../core/settings.ts";

/** A future event, and why it is rejected (null if nothing is wrong so far). */
export interface Part {
  readonly candidate: Candidate;
  readonly why: Rejection | null;
}

type Policy = Values<typeof timeSettings> & { readonly payloadBytesMax: number };

/** @param candidate the candidate of the whole message, and of its event if it makes only one */
export function readMapped(candidate: Candidate, route: Route, policy: Policy): readonly Part[] {
  const { mapping, names } = route;
  name(candidate, route.who);
  candidate.proof = mapping.proof;
  const large = oversize(candidate.bytes, candidate.wholeBytes, policy.payloadBytesMax);
  candidate.isOversize = large !== null;
  const decoded = large ?? decodeAny(candidate.bytes, mapping.takesText);
  const unproven = speakerRefusal(candidate);
  if (isRejection(decoded) || unproven !== null) {
    candidate.bytes = hideUnder(mapping.token, candidate.bytes);
    return [{ candidate, why: isRejection(decoded) ? decoded : unproven }];
  }
  const outcomes = mapping.read(names, decoded.value, candidate.speaker ?? undefined);
  const [only] = outcomes;
  if (outcomes.length === 1 && only !== undefined)
    return [{ candidate, why: fill(candidate, only, decoded, route, policy) }];
  const charged = new Set<string>();
  return outcomes.map((outcome) => {
    const part: Loose = { text: jsonOf(outcome.part), value: outcome.part };
    const own = { ...candidate, charged };
    return { candidate: own, why: fill(own, outcome, part, route, policy) };
  });
}

/**
 * Rejects what a message may not do without a proof at CONNECT, or by a token in HTTP's header. An external broker vouches for its
 * clients (`speaker` undefined); elsewhere a sender that did not prove itself (null) must present a token.
 */
function speakerRefusal(candidate: Candidate): Rejection | null {
  const { proof, speaker } = candidate;
  if (proof === "broker" && speaker === null) candidate.proof = "token";
  if (proof !== "connection" || speaker) return null;
  if (candidate.tokenHash !== null)
    return rejection("TOKEN_INVALID", "the token that was shown beside it is of no device that may speak");
  return rejection(
    "TOKEN_MISSING",
    "the mapping has proof = connection, and nobody proved himself at CONNECT",
  );
}

function fill(
  candidate: Candidate,
  outcome: RawEvent,
  { text, value }: Loose,
  { mapping }: Route,
  policy: Policy,
): Rejection | null {
  const { who, metrics } = outcome;
  const written = typeof value === "string" ? JSON.stringify(value) : text.trim();
  const raw = hideUnder(mapping.token, written);
  candidate.raw = raw;
  candidate.keepsRaw = mapping.raw;
  candidate.token = outcome.token;
  name(candidate, who);
  if (outcome.why !== null)
    return rejection("MAPPING_MISFIT", `mapping ${mapping.topic.text}: ${outcome.why}`);
  const other = otherSpeaker(candidate);
  if (other !== null) return other;
  const seq = seqOf(outcome.seq);
  if (seq === undefined) return rejection("BAD_SEQ", `seq is ${jsonOf(outcome.seq)}`);
  const time = typeof outcome.time === "bigint" ? String(outcome.time) : outcome.time;
  const why = checkMetrics(metrics, metricsMax, outcome.count) ?? timeFrom(candidate, time, policy);
  if (why !== null) return why;
  candidate.remark = remarkOn({ metrics }, who.msgType);
  const envelope = envelopeOf({ ts: time, time: readTimestamp(time), seq, metrics });
  candidate.text = mapping.raw ? withRaw(envelope, raw) : envelope;
  return null;
}

/** A device that proved itself at CONNECT speaks only for itself. */
function otherSpeaker(candidate: Candidate): Rejection | null {
  const { proof, speaker } = candidate;
  if (proof !== "connection" || !speaker || isSpeaker(candidate)) return null;
  return rejection("TOKEN_INVALID", `the client proved itself as ${speaker.tenantId}/${speaker.deviceId}`);
}

/** An invalid name is left out, because rejects are stored and counted by name. */
function name(candidate: Candidate, who: Who): void {
  candidate.address = who.why === null ? addressFor(candidate.topic, who) : null;
  candidate.siteId = who.why === null ? who.siteId : null;
}

/** null if there is none; undefined if it is not a whole number. Some gateways quote theirs. */
function seqOf(said: unknown): number | null | undefined {
  if (said === null) return null;
  const seq = typeof said === "string" && /^-?\d{1,16}$/.test(said) ? Number(said) : said;
  return Number.isSafeInteger(seq) ? (seq as number) : undefined;
}
