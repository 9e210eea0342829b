/**
 * What a sender is answered: 202 once the message is on the disk as an event (or waits there for the registry), the status that fits
 * its reject, or a problem (RFC 9457). Only the reason is told, not the judge's details: who asks has proved nothing.
 */
import { STATUS_CODES } from "node:http";
import type { MessageOutcome } from "../../core/message.ts";

/** The request itself cannot be taken; nothing of it was. */
export class Refused extends Error {
  readonly status: number;
  readonly retrySeconds: number | undefined;

  constructor(status: number, detail: string, retrySeconds?: number) {
    super(detail);
    this.status = status;
    this.retrySeconds = retrySeconds;
  }
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Statuses of rejects that are no mistake of the message's (400). The table of reasons is the judge's; a test holds this one to it. */
export const statusOfReason: Readonly<Record<string, number>> = {
  PAYLOAD_TOO_LARGE: 413,
  TOKEN_MISSING: 401,
  TOKEN_INVALID: 401,
  UNREGISTERED_DEVICE: 403,
  DEVICE_REVOKED: 403,
  SITE_MISMATCH_REGISTRY_VS_PAYLOAD: 403,
  TOKEN_NOT_SET_IN_REGISTRY: 403,
  RATE_LIMITED: 429,
  TOO_MANY_STRANGERS: 503,
  JUDGE_FAULT: 500,
};

const retrySecondsOf: Readonly<Record<number, number>> = { 429: 1, 503: 5 };

/** A duplicate whose first outcome is not known any more is on the disk, whatever it is. */
const isTaken = (outcome: MessageOutcome) => ["accepted", "deferred", "duplicate"].includes(outcome);

export function replyTo(outcomes: readonly MessageOutcome[], isBatch: boolean): Reply {
  const [only = ""] = outcomes;
  if (isBatch) return json(202, batchBody(outcomes));
  if (isTaken(only)) return json(202, { status: only });
  const status = statusOfReason[only] ?? 400;
  const detail = `The message was rejected: ${only}; \`sluice help ${only}\` says why and what to do.`;
  return problemReply(status, detail, { reason: only }, retrySecondsOf[status]);
}

function batchBody(outcomes: readonly MessageOutcome[]): object {
  const taken = outcomes.filter(isTaken).length;
  return {
    accepted: taken,
    rejected: outcomes.length - taken,
    results: outcomes.map((outcome) =>
      isTaken(outcome) ? { status: outcome } : { status: "rejected", reason: outcome },
    ),
  };
}

export function refusalReply({ status, message, retrySeconds }: Refused): Reply {
  const reply = problemReply(status, `${message}.`, {}, retrySeconds ?? retrySecondsOf[status]);
  // RFC 9110, 15.5.6.
  return status === 405 ? { ...reply, headers: { ...reply.headers, allow: "POST" } } : reply;
}

function problemReply(
  status: number,
  detail: string,
  members: Readonly<Record<string, unknown>>,
  retrySeconds: number | undefined,
): Reply {
  const body = { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail, ...members };
  const headers = {
    "content-type": "application/problem+json",
    ...(retrySeconds !== undefined && { "retry-after": String(retrySeconds) }),
    // RFC 9110, 11.6.1.
    ...(status === 401 && { "www-authenticate": "Bearer" }),
  };
  return { status, headers, body: `${JSON.stringify(body)}\n` };
}

function json(status: number, body: object): Reply {
  return { status, headers: { "content-type": "application/json" }, body: `${JSON.stringify(body)}\n` };
}
