/**
 * A mapping compiled to a function of topic and payload, once at the start and from closures: per message it costs
 * only the walk through the payload, not the reading of the file's text. It reads and does not judge: its result is
 * in the mapping's terms, and the judge checks it like our own envelope.
 */
import type { DeviceId } from "../../core/device.ts";
import { isObject } from "../../core/text/is-object.ts";
import { eachText, membersOf, partOf, type Path } from "./each.ts";
import { jsonOf } from "./envelope.ts";
import { Gathered, putter } from "./gather.ts";
import { identityReader, type Who } from "./identity.ts";
import type { Place } from "./places.ts";
import { finder, pointerOf, type Steps } from "./pointer.ts";
import type { MetricPath, Proof, Spec } from "./spec.ts";
import type { Pattern } from "./topic-pattern.ts";
import { valueOf, written, type Scope, type Spelled, type Value } from "./value.ts";

/** Events per message. */
const eventsMax = 100;
/** How many members of `each` may share these events. */
const membersMax = 5_000;

/** What a message says only once. */
export interface RawEvent {
  readonly who: Who;
  readonly time: unknown;
  readonly seq: unknown;
  readonly token: string | undefined;
  /** As many as may be, and one more; `count` is how many there were. */
  readonly metrics: Gathered["metrics"];
  readonly count: number;
  /** What does not fit; null if everything fits. */
  readonly why: string | null;
  /** The payload, or the part of it that this is made from. */
  readonly part: unknown;
}

export interface Mapping {
  readonly topic: Pattern;
  /** The place of its topic in the file. */
  readonly line: number;
  readonly column: number;
  readonly proof: Proof;
  /** True if what the device sent is kept with the event. */
  readonly raw: boolean;
  readonly token: Steps;
  /** True if a payload that is not JSON is a value: text. */
  readonly takesText: boolean;
  /** Does the topic alone name the device? */
  readonly namedByTopic: boolean;
  /** The sender, as far as the topic names it. */
  whoOf(names: readonly string[]): Who;
  /**
   * @param names the values of the pattern's names in the topic
   * @param speaker the device that proved itself at CONNECT
   */
  read(names: readonly string[], payload: unknown, speaker: DeviceId | undefined): readonly RawEvent[];
}

export function compile(spec: Spec, { line, column }: Place): Mapping {
  const { topic, proof, raw, token, each, name, value } = spec;
  const identify = identityReader(spec);
  const collect = collector(spec);
  const [time, seq] = [spec.time, spec.seq].map((spelled) => spelled && valueOf(spelled, spec.names));
  const findToken = valueOf({ kind: "pointer", steps: token }, spec.names);

  function begin(scope: Scope, speaker: DeviceId | undefined): Draft {
    const who = identify(scope, speaker);
    const shown = findToken(scope);
    return {
      who,
      time: time?.(scope) ?? null,
      seq: seq?.(scope) ?? null,
      token: typeof shown === "string" && shown !== "" ? shown : undefined,
      gathered: new Gathered(),
      paths: [],
    };
  }

  function readEach(
    names: readonly string[],
    payload: unknown,
    speaker: DeviceId | undefined,
  ): readonly RawEvent[] {
    const members = membersOf(payload, each, membersMax);
    const nobody = identify({ names, record: payload, payload }, speaker);
    const whole = (why: string) => [misfit(nobody, why, payload)];
    if (members.length > membersMax) return whole(`${eachText(each)} has more than ${membersMax} members`);
    const drafts = new Map<string, Draft>();
    for (const [i, { record, names: further, path }] of members.entries()) {
      const scope = { names: [...names, ...further], record, payload };
      const fresh = begin(scope, speaker);
      const key = name === undefined || fresh.who.why !== null ? String(i) : keyOf(fresh);
      const draft = drafts.get(key) ?? fresh;
      drafts.set(key, draft);
      draft.paths.push(path);
      if (record === undefined)
        draft.gathered.why ??= `${eachText(each)} finds no member at ${pointerOf(path.map(String)) || "/"}`;
      else collect(draft.gathered, scope);
    }
    const all = [...drafts.values()];
    const telling =
      name === undefined ? all : all.filter(({ gathered }) => gathered.count > 0 || gathered.why !== null);
    if (telling.length === 0)
      return whole(`${eachText(each)} finds ${all.length === 0 ? "nothing" : "no member that has a value"}`);
    if (telling.length > eventsMax)
      return whole(`it makes ${telling.length} events, ${eventsMax} are allowed`);
    return telling.map((draft) =>
      finish(draft, telling.length === 1 ? payload : partOf(payload, draft.paths, each)),
    );
  }

  return {
    topic,
    line,
    column,
    proof,
    raw,
    token,
    takesText: name !== undefined && value === undefined && each.length === 0,
    namedByTopic: isOfTopic(spec),
    whoOf: (names) => identify({ names, record: undefined, payload: undefined }, undefined),
    read(names, payload, speaker) {
      if (each.length > 0) return readEach(names, payload, speaker);
      const scope = { names, record: payload, payload };
      const draft = begin(scope, speaker);
      collect(draft.gathered, scope);
      return [finish(draft, payload)];
    },
  };
}

interface Draft extends Omit<RawEvent, "metrics" | "count" | "why" | "part"> {
  readonly gathered: Gathered;
  readonly paths: Path[];
}

function finish({ who, time, seq, token, gathered }: Draft, part: unknown): RawEvent {
  const why = who.why ?? gathered.why ?? (gathered.count === 0 ? "it yields no metric" : null);
  return { who, time, seq, token, metrics: gathered.metrics, count: gathered.count, why, part };
}

function misfit(who: Who, why: string, part: unknown): RawEvent {
  return { who, time: null, seq: null, token: undefined, metrics: {}, count: 0, why, part };
}

/** Records with the same device and time become one event. */
function keyOf({ who, time }: Draft): string {
  return jsonOf([who.tenantId, who.deviceId, who.msgType, who.siteId, time]);
}

function isOfTopic({ identity, topic, proof }: Spec): boolean {
  const isConstant = (spelled: Spelled) =>
    spelled.kind === "levels"
      ? spelled.names.every((name) => topic.names.includes(name))
      : spelled.kind === "plain";
  return proof !== "connection" && Object.values(identity).every(isConstant);
}

type Collect = (into: Gathered, scope: Scope) => void;

function collector(spec: Spec): Collect {
  if (spec.name !== undefined) return namedValue(spec, spec.name);
  if (spec.metrics === undefined) return wholeRecord(spec);
  const each = spec.metrics.map((path) => metricAt(spec, path));
  return (into, scope) => {
    for (const collect of each) collect(into, scope);
  };
}

function wholeRecord(spec: Spec): Collect {
  const put = putter(spec.text, pointedAt(spec));
  return (into, { record }) => {
    if (isObject(record)) put(into, "", record);
    else if (Array.isArray(record)) into.why ??= "a list needs each = …";
    else into.why ??= "is no object; for a plain value give its name: name = …, or a level {metric}";
  };
}

function metricAt(spec: Spec, { name, steps }: MetricPath): Collect {
  const find = valueOf({ kind: "pointer", steps }, spec.names);
  const put = putter(spec.text, pointedAt(spec), steps);
  const own = steps.at(-1) ?? "";
  return (into, scope) => {
    const found = find(scope);
    if (found === undefined) into.why ??= `${pointerOf(steps)} finds nothing`;
    else put(into, name ?? (isObject(found) ? "" : own), found);
  };
}

function namedValue(spec: Spec, spelled: Spelled): Collect {
  const nameOf = metricName(valueOf(spelled, spec.names));
  const inList = spec.each.length > 0;
  const at = spec.value?.kind === "pointer" ? spec.value.steps : [];
  const put = putter(spec.text, pointedAt(spec), at);
  const find: Value = spec.value === undefined ? ({ record }) => record : valueOf(spec.value, spec.names);
  // A member without a value of its own must not get the payload's.
  const findOwn: Value = inList && at.length > 0 ? recordFinder(at) : find;
  return (into, scope) => {
    const found = findOwn(scope);
    if (found === undefined || (found === "" && spec.value === undefined)) {
      const why = found === "" ? "the payload is empty" : `${written(spec.value ?? spelled)} finds nothing`;
      if (!inList) into.why ??= why;
      return;
    }
    const name = nameOf(scope);
    if (name === undefined) into.why ??= `${written(spelled)} finds no name`;
    else put(into, name, found);
  };
}

function recordFinder(steps: Steps): Value {
  const find = finder(steps);
  return ({ record }) => find(record);
}

function metricName(value: Value): (scope: Scope) => string | undefined {
  return (scope) => {
    const name = value(scope);
    if (typeof name === "string") return name;
    return typeof name === "number" || typeof name === "bigint" ? String(name) : undefined;
  };
}

/** What is no metric, because another key uses it. */
function pointedAt({ identity, time, seq, name, value, token, drop }: Spec): readonly Steps[] {
  const said = [...Object.values(identity), time, seq, name, value];
  const pointers = said.flatMap((spelled) => (spelled?.kind === "pointer" ? [spelled.steps] : []));
  return [...pointers, token, ...drop];
}
