/**
 * All reasons for which the judge rejects, in the order in which it checks. Counters, metrics, the dashboard, `sluice
 * help reasons` and the tests' list follow from this table; the rows stand with the stages that own them.
 */
import { registryReasons } from "./authorize.ts";
import { jsonReasons, sizeReasons } from "./decode.ts";
import { envelopeReasons } from "./envelope.ts";
import { rateReasons } from "./limit.ts";
import { mappingReasons } from "./mapping/misfit.ts";
import { metricReasons } from "./metrics.ts";
import { timeReasons } from "./time.ts";
import { topicReasons } from "./topic.ts";
import type { Reason, Reasons } from "./verdict.ts";

export interface ReasonRow extends Reason {
  readonly code: string;
  readonly stage: string;
}

/** Of no stage: they come of damage and of bugs. */
const faultReasons = {
  LOST_TO_DAMAGE: {
    help: "The message waited on disk to be judged, and was lost when the spool was damaged.",
    remedy: "`sluice spool repair` reported how many; the device may still have them.",
  },
  JUDGE_FAULT: {
    help: "A bug in Sluice: judging this message raised an error.",
    remedy: "Report it with its detail and with the part of the payload that was kept.",
  },
} as const satisfies Reasons;

const stages: Readonly<Record<string, Reasons>> = {
  size: sizeReasons,
  topic: topicReasons,
  json: jsonReasons,
  mapping: mappingReasons,
  envelope: envelopeReasons,
  metrics: metricReasons,
  time: timeReasons,
  registry: registryReasons,
  rate: rateReasons,
  fault: faultReasons,
};

export const reasons: readonly ReasonRow[] = Object.entries(stages).flatMap(([stage, rows]) =>
  Object.entries(rows).map(([code, row]) => ({ code, stage, ...row })),
);
