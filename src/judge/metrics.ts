/**
 * Stage "metrics": metrics are flat, few, and named so that any store can hold them. It checks every message type
 * that carries metrics.
 */
import { isObject } from "../core/text/is-object.ts";
import type { Body } from "./decode.ts";
import { rejection, type Rejection, type Reasons } from "./verdict.ts";

/** Metrics per message. */
export const metricsMax = 50;
/** Length of a metric's name, in Unicode code points. */
const metricKeyCharsMax = 128;
/** How many members a remark names. */
const besideMax = 5;

export const metricReasons = {
  TOO_MANY_METRICS: {
    help: `metrics has more than ${metricsMax} members.`,
    remedy: "Split the reading into several messages.",
  },
  METRIC_KEY_INVALID: {
    help: `A metric's name is empty, longer than ${metricKeyCharsMax} characters, or holds a control character.`,
    remedy: "Rename the metric on the device.",
  },
  METRIC_VALUE_INVALID: {
    help: "metrics is not an object, or a value is not a finite number, boolean, string or null.",
    remedy: "Send metrics flat: one name, one value.",
  },
  TELEMETRY_WITHOUT_METRICS: {
    help: "Not a reject: the telemetry is accepted and stored, but has no metrics (or only nulls), so InfluxDB gets no reading from it.",
    remedy: 'Send readings as members of "metrics"; the detail names the members that stand beside it.',
  },
} as const satisfies Reasons;

// Unicode category Cc.
// oxlint-disable-next-line no-control-regex
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Returns null if nothing is wrong.
 * @param most how many there may be
 * @param count how many there were, if not all of them were kept
 */
export function checkMetrics(
  metrics: unknown,
  most = metricsMax,
  count = 0,
): Rejection<keyof typeof metricReasons> | null {
  if (metrics === undefined || metrics === null) return null;
  if (!isObject(metrics)) return rejection("METRIC_VALUE_INVALID", "metrics is not an object");
  const keys = Object.keys(metrics);
  if (keys.length > most) return rejection("TOO_MANY_METRICS", `${Math.max(count, keys.length)} metrics`);
  for (const key of keys) {
    if (!isName(key)) return rejection("METRIC_KEY_INVALID", `metric ${JSON.stringify(key)}`);
    if (!isFlat(metrics[key])) return rejection("METRIC_VALUE_INVALID", `metric ${JSON.stringify(key)}`);
  }
  return null;
}

/** The remark on telemetry from which no time series gets a reading; null if there is nothing to remark. */
export function remarkOn(body: Body, msgType: string): string | null {
  if (msgType !== "telemetry") return null;
  const metrics = body["metrics"] ?? null;
  if (isObject(metrics) && holdsValue(metrics)) return null;
  const beside = Object.keys(body).filter((key) => key !== "seq" && key !== "ts" && isReading(body[key]));
  const what = metrics === null ? "no metrics" : "metrics holds no value";
  return beside.length === 0 ? what : `${what}; beside it: ${beside.slice(0, besideMax).join(", ")}`;
}

function holdsValue(metrics: Body): boolean {
  for (const key in metrics) if (metrics[key] !== null) return true;
  return false;
}

function isReading(value: unknown): boolean {
  if (typeof value === "number" || typeof value === "bigint") return true;
  return typeof value === "object" && value !== null && Object.values(value).some(isReading);
}

function isName(key: string): boolean {
  if (key === "" || controlCharacter.test(key)) return false;
  return key.length <= metricKeyCharsMax || [...key].length <= metricKeyCharsMax;
}

function isFlat(value: unknown): boolean {
  return typeof value === "number" ? Number.isFinite(value) : value === null || typeof value !== "object";
}
