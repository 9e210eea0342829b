/**
 * A ValidatedOutput as the message of its device, as this gateway's own sink writes it and existing pipelines do: names and values in
 * two lists, of which later pipelines call the names `labels` and give metadata as lists as well. What the value says digit by digit
 * stays. Its metadata go along, for whoever keeps the latest of each device.
 */
import { isObject } from "../../core/text/is-object.ts";
import { ownTopic } from "../../core/topic-level.ts";
import { elementsOf, sign, valueAt } from "../../kafka/json-text.ts";
import type { Content } from "./message.ts";

interface Validated {
  readonly device_id?: unknown;
  readonly timestamp?: unknown;
  readonly label?: unknown;
  readonly labels?: unknown;
  readonly index?: unknown;
  readonly metadata?: Readonly<Record<string, unknown>> | null;
}

const encoder = new TextEncoder();
/** Of metadata, those that concern the values and not the message. */
const datatype = ["datatype_id", "datatype_name", "datatype_unit", "datatype_category", "persist"] as const;

/** undefined: it is no such message. @param word tenant, and site, of one that names none */
export function saidByValidated(value: Buffer, word: string): Content | undefined {
  const text = value.toString();
  const it = parsed(text);
  if (it === undefined || typeof it.device_id !== "string") return undefined;
  const from = valueAt(text, "values");
  if (from < 0 || text.charCodeAt(from) !== sign.openList) return undefined;
  const metadata = it.metadata ?? {};
  const tenant = textOr(metadata["tenant_id"], word);
  const own = `${tenant}/`;
  const device = it.device_id.startsWith(own) ? it.device_id.slice(own.length) : it.device_id;
  const type = textOr(metadata["msg_type"], "telemetry");
  const metrics = metricsText(elementsOf(text, from), namesOf(it, metadata));
  const members = [
    ...timeOf(it),
    `"site_id":${JSON.stringify(textOr(metadata["site_id"], word))}`,
    ...(Number.isSafeInteger(metadata["seq"]) ? [`"seq":${String(metadata["seq"])}`] : []),
    `"metrics":{${metrics}}`,
    `"metadata":${JSON.stringify(datatypeOf(metadata))}`,
  ];
  return {
    topic: ownTopic(tenant, device, type),
    payload: encoder.encode(`{${members.join(",")}}`),
    isJudged: true,
  };
}

function parsed(text: string): Validated | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function textOr(value: unknown, other: string): string {
  return typeof value === "string" && value !== "" ? value : other;
}

/** Seconds since 1970, or text: Python's isoformat of a time that is UTC has no zone. */
function timeOf({ timestamp }: Validated): string[] {
  if (typeof timestamp === "number") return [`"ts":${timestamp}`];
  if (typeof timestamp !== "string") return [];
  const hasZone = /(?:Z|[+-]\d\d:?\d\d)$/i.test(timestamp);
  return [`"ts":${JSON.stringify(hasZone ? timestamp : `${timestamp}Z`)}`];
}

function namesOf(
  { label, labels }: Validated,
  metadata: Readonly<Record<string, unknown>>,
): readonly unknown[] {
  if (Array.isArray(labels) && labels.length > 0) return labels;
  if (Array.isArray(label)) return label;
  return [metadata["datatype_name"]];
}

/** Numbers, booleans and text; a name that is missing is made up, and of two that are alike the last counts, as for a reader. */
function metricsText(values: readonly string[], names: readonly unknown[]): string {
  const metrics = new Map<string, string>();
  for (const [i, value] of values.entries()) {
    const first = value.charCodeAt(0);
    if (first === sign.n || first === sign.open || first === sign.openList) continue;
    metrics.set(textOr(names[i], `value_${i}`), value);
  }
  return [...metrics].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",");
}

/** Of lists (one for each value) the first, as the one reading there used to be had it. */
function datatypeOf(metadata: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    datatype.flatMap((name) => {
      const given = metadata[name];
      const value = (Array.isArray(given) ? given[0] : given) as unknown;
      return value === undefined || value === null || typeof value === "object" ? [] : [[name, value]];
    }),
  );
}
