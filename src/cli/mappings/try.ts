/**
 * `sluice mappings try`: what happens to a message on standard input, or to a row of the quarantine. It runs the
 * judge's own code on one message; nothing is stored, and no gateway need run.
 */
import type { Config } from "../../config/index.ts";
import { systemClock } from "../../core/clock.ts";
import { byDevice, type DeviceAuth, type DeviceId } from "../../core/device.ts";
import { telemetryOf, type Entry } from "../../core/entry.ts";
import { isoOf } from "../../core/text/iso.ts";
import { parseDigits, rawJson } from "../../core/text/json-digits.ts";
import { explain } from "../../core/log/log.ts";
import type { Message } from "../../core/message.ts";
import { isPending, isSeveral, type Pending } from "../../judge/contract.ts";
import { createJudge } from "../../judge/judge.ts";
import { router, type Route } from "../../judge/mapping/routes.ts";
import { isOwnTopic } from "../../judge/topic.ts";
import { tablesOf } from "../../sink/influx/settings.ts";
import { lineProtocol, type Format } from "../spool/export-formats.ts";

/** What is tried. */
export type Tried = Pick<Message, "topic" | "payload" | "wholeBytes" | "receivedMs" | "retained" | "speaker">;

export interface TryOutcome {
  /** The event in one line: who, what, where, when; null if it is rejected. */
  readonly event: string | null;
  readonly tenant_id: string | null;
  readonly device_id: string | null;
  readonly site_id: string | null;
  readonly msg_type: string | null;
  readonly event_ts: string | null;
  readonly seq: number | null;
  readonly metrics: unknown;
  /** The line that InfluxDB would get; null if none. */
  readonly line: string | null;
  /** Why there is no line of an event, if that is known. */
  readonly no_line: string | null;
  readonly reason: string | null;
  readonly detail: string | null;
}

export interface TryResult {
  readonly topic: string;
  /** null if no mapping takes the topic. */
  readonly mapping: { readonly topic: string; readonly line: number; readonly proof: string } | null;
  readonly outcomes: readonly TryOutcome[];
}

/** @param find looks devices up in the registry; rejects if the registry does not answer */
export async function tryMessage(
  config: Config,
  tried: Tried,
  find: (ids: readonly DeviceId[]) => Promise<readonly DeviceAuth[]>,
): Promise<TryResult> {
  const routeOf = router(config.mappings);
  const judge = createJudge({
    policy: () => config.judge,
    auth: { get: () => undefined, mayReread: () => false },
    requireToken: config.judge.requireToken,
    backlogBytesMax: Number.MAX_SAFE_INTEGER,
    clock: systemClock,
    routeOf,
  });
  const verdict = judge.judge({ ...tried, dup: false, redeliveryKey: () => undefined });
  const parts = isSeveral(verdict) ? verdict.several : [verdict];
  const waiting = parts.filter(isPending);
  const answers = await answersOf(waiting, find);
  const lineOf = lineProtocol(config, false);
  const types = tablesOf(config.influx.tables);
  const outcomes = parts.map((part) => {
    if (!isPending(part)) return outcomeOfPart(part, false, lineOf, types);
    const answer = typeof answers === "string" ? "unavailable" : (answers.get(part.key) ?? null);
    const entry = judge.resume(part, answer);
    const known = typeof answers === "string" ? { ...entry, detail: answers } : entry;
    return outcomeOfPart(known, part.siteId === null, lineOf, types);
  });
  const { topic } = tried;
  return { topic, mapping: mappingOf(isOwnTopic(topic) ? undefined : routeOf(topic)), outcomes };
}

/** The registry's rows by `deviceKey`; or why it does not answer. */
async function answersOf(
  waiting: readonly Pending[],
  find: (ids: readonly DeviceId[]) => Promise<readonly DeviceAuth[]>,
): Promise<ReadonlyMap<string, DeviceAuth> | string> {
  if (waiting.length === 0) return new Map();
  try {
    const found = await find(waiting.map(({ tenantId, deviceId }) => ({ tenantId, deviceId })));
    return byDevice(found);
  } catch (error) {
    return explain(error);
  }
}

function mappingOf(route: Route | undefined): TryResult["mapping"] {
  if (route === undefined) return null;
  const { topic, line, proof } = route.mapping;
  return { topic: topic.text, line, proof };
}

function outcomeOfPart(
  entry: Entry,
  isOfRegistry: boolean,
  lineOf: Format,
  types: readonly string[],
): TryOutcome {
  const isReject = entry.kind === "reject";
  const seq = isReject ? undefined : telemetryOf(entry).seq;
  const { lines, impossible } = lineOf([entry]);
  return {
    event: isReject ? null : eventText(entry, seq, isOfRegistry),
    tenant_id: entry.tenantId,
    device_id: entry.deviceId,
    site_id: entry.siteId,
    msg_type: entry.msgType,
    event_ts: isoOf(entry.eventMs),
    seq: seq ?? null,
    metrics: isReject ? null : storedMetrics(entry.payload),
    line: lines[0] ?? null,
    no_line: isReject || lines.length > 0 ? null : noLineOf(entry, types),
    reason: entry.reason,
    detail: impossible[0]?.why ?? entry.detail,
  };
}

function noLineOf({ msgType, siteId }: Entry, types: readonly string[]): string | null {
  if (!types.includes(msgType ?? "")) return `type is not ${types.join(" or ")}`;
  return siteId === null ? "its site is not known until the registry answers" : null;
}

/** Digit by digit. */
function storedMetrics(payload: string): unknown {
  const exact = parseDigits(payload, (_, digits) => rawJson(digits));
  return (exact as { metrics?: unknown }).metrics ?? {};
}

function eventText(entry: Entry, seq: number | undefined, isOfRegistry: boolean): string {
  const { tenantId, deviceId, siteId, msgType, eventMs } = entry;
  const site = siteId === null ? "(the registry says)" : isOfRegistry ? `${siteId} (registry)` : siteId;
  const parts = [tenantId, deviceId, site, msgType, isoOf(eventMs) ?? "arrival"];
  return [...parts, ...(seq === undefined ? [] : [`seq ${seq}`])].join(" / ");
}

/** @param hasMappings whether there is a file of mappings */
export function asText({ topic, mapping, outcomes }: TryResult, hasMappings: boolean): string {
  const untaken = hasMappings ? "no mapping takes this topic" : "none, since MAPPINGS_FILE is not set";
  const none = isOwnTopic(topic) ? "none, it is Sluice's own topic" : untaken;
  const taken = mapping === null ? none : `line ${mapping.line}, ${mapping.topic}, proof = ${mapping.proof}`;
  return [`topic    ${topic}\n`, `mapping  ${taken}\n`, ...outcomes.map(outcomeText)].join("");
}

function outcomeText(outcome: TryOutcome): string {
  const {
    event,
    tenant_id: tenant,
    device_id: device,
    metrics,
    line,
    no_line: noLine,
    reason,
    detail,
  } = outcome;
  const why = [reason, detail].filter((said) => said !== null).join(": ");
  // In several events of one message the reason alone would not tell which device is meant.
  if (event === null) return `reject   ${why}\n${device === null ? "" : `         ${tenant} / ${device}\n`}`;
  const said = why === "" ? "" : `         ${why}\n`;
  const none = noLine === null ? "none" : `none (${noLine})`;
  return `event    ${event}\n         ${JSON.stringify(metrics)}\n${said}line     ${line ?? none}\n`;
}
