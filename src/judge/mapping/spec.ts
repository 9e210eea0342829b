/**
 * The specification of one [[mapping]]: every key read, every mistake noted, nothing compiled yet. It is a list of
 * keys with a reader each. Rejected alternative: a schema library, because a mistake must name the key, its value,
 * and what would be right.
 */
import { isObject } from "../../core/text/is-object.ts";
import { hasSeparator } from "../../core/topic-level.ts";
import { unfit } from "../topic.ts";
import { pointerOf, stepsOf, type Steps } from "./pointer.ts";
import { eachOf, type EachStep } from "./each.ts";
import { patternOf, type Pattern } from "./topic-pattern.ts";
import { spelledOf, written, type Spelled } from "./value.ts";

export type Proof = "token" | "connection" | "broker";
export type TextRule = "keep" | "number" | "drop";
export type Identity = "tenant" | "device" | "type" | "site";

/** `name` null: the names of the object's members, else the pointer's last step. */
export interface MetricPath {
  readonly name: string | null;
  readonly steps: Steps;
}

export interface Spec {
  readonly topic: Pattern;
  /** The names to which levels and `each` give a value. */
  readonly names: readonly string[];
  readonly identity: Readonly<Partial<Record<Identity, Spelled>>>;
  /** The defaults of the whole file. */
  readonly defaults: Defaults;
  readonly time: Spelled | undefined;
  readonly seq: Spelled | undefined;
  readonly token: Steps;
  readonly name: Spelled | undefined;
  readonly value: Spelled | undefined;
  /** undefined means the whole record. */
  readonly metrics: readonly MetricPath[] | undefined;
  readonly each: readonly EachStep[];
  readonly drop: readonly Steps[];
  readonly text: TextRule;
  readonly proof: Proof;
  readonly raw: boolean;
}

export interface Defaults {
  readonly tenant?: string;
  readonly site?: string;
}

type Table = Readonly<Record<string, unknown>>;
/** What is wrong with a key. */
export type Wrong = (key: string, why: string) => void;

const keys = "topic tenant device type site time seq token metrics name value each text drop proof raw".split(
  " ",
);
const usualToken = "/provision_token";

/** undefined if it was wrong; `wrong` was called for every mistake in it. */
export function specOf(table: Table, defaults: Defaults, wrong: Wrong): Spec | undefined {
  let isRight = true;
  const report: Wrong = (key, why) => {
    isRight = false;
    wrong(key, why);
  };
  for (const key of Object.keys(table))
    if (!keys.includes(key)) report(key, `is no key of a mapping; they are ${keys.join(", ")}`);
  const topic = readTopic(table, report);
  const each = readEach(table, report);
  const names = [
    ...(topic?.names ?? []),
    ...each.flatMap((step) => (step.kind === "name" ? [step.name] : [])),
  ];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) report("each", `{${twice}} is a level of the topic too`);
  const known = topic === undefined ? undefined : names;
  const spelled = (key: string, kinds: readonly Spelled["kind"][]) =>
    readSpelled(table, key, kinds, known, report);
  const own = (key: Identity) => spelled(key, ["pointer", "levels", "plain"]);
  const identity = identityOf(names, {
    tenant: own("tenant"),
    device: own("device"),
    type: own("type"),
    site: own("site"),
  });
  const found = ["pointer", "levels"] as const;
  const spec = {
    names,
    identity,
    defaults,
    time: spelled("time", found),
    seq: spelled("seq", found),
    token: readToken(table, report),
    name: spelled("name", ["pointer", "levels", "plain"]) ?? levelNamed("metric", names),
    value: spelled("value", found),
    metrics: readMetrics(table, report),
    each,
    drop: readPointers(table, "drop", report) ?? [],
    text: readWord(table, "text", ["keep", "number", "drop"], report),
    proof: readWord(table, "proof", ["token", "connection", "broker"], report),
    raw: readRaw(table, report),
  };
  checkTogether(spec, topic !== undefined, report);
  return isRight && topic !== undefined ? { topic, ...spec } : undefined;
}

type Unchecked = Omit<Spec, "topic">;

function checkTogether(spec: Unchecked, hasTopic: boolean, report: Wrong): void {
  const { identity, defaults, proof, name, value, metrics, token } = spec;
  if (hasTopic && proof !== "connection") {
    if (identity.device === undefined)
      report("topic", "names no device: give a level {device}, or say where it stands: device = …");
    if (identity.tenant === undefined && defaults.tenant === undefined)
      report(
        "topic",
        "names no tenant: give a level {tenant}, tenant = … here, or tenant = … at the top of the file",
      );
  }
  if (metrics !== undefined && name !== undefined)
    report("metrics", "and a name (name = …, or a level {metric}) say the same in two ways: leave one out");
  if (hasTopic && value !== undefined && name === undefined)
    report("value", "needs the metric's name: name = …, or a level {metric}");
  if (metrics?.some(({ steps }) => pointerOf(steps) === pointerOf(token)))
    report("metrics", `${pointerOf(token)} is the token, which is no metric`);
  for (const [key, spelled] of Object.entries(identity) as [Identity, Spelled][])
    if (spelled.kind === "plain" && !isName(key, spelled.text))
      report(key, `is ${JSON.stringify(spelled.text)}: must be a name, without / + # and control characters`);
}

function readTopic(table: Table, report: Wrong): Pattern | undefined {
  const text = table["topic"];
  if (text === undefined) report("topic", "is missing: every mapping says which topic it is for");
  else if (typeof text !== "string") report("topic", "must be text");
  if (typeof text !== "string") return undefined;
  const pattern = patternOf(text);
  if (typeof pattern !== "string") return pattern;
  report("topic", pattern);
  return undefined;
}

function readEach(table: Table, report: Wrong): readonly EachStep[] {
  const text = table["each"];
  if (text === undefined) return [];
  const each = typeof text === "string" ? eachOf(text) : "must be text";
  if (typeof each !== "string") return each;
  report("each", each);
  return [];
}

function readSpelled(
  table: Table,
  key: string,
  kinds: readonly Spelled["kind"][],
  names: readonly string[] | undefined,
  report: Wrong,
): Spelled | undefined {
  const text = table[key];
  if (text === undefined) return undefined;
  const spelled =
    typeof text === "string"
      ? spelledOf(text)
      : 'must be text: a pointer such as "/a/b", {level}, or plain text';
  const why = typeof spelled === "string" ? spelled : misspelled(spelled, kinds, names);
  if (why !== null) report(key, why);
  return why === null && typeof spelled !== "string" ? spelled : undefined;
}

/** @param names undefined: they are not known, for the topic is wrong */
function misspelled(
  spelled: Spelled,
  kinds: readonly Spelled["kind"][],
  names: readonly string[] | undefined,
): string | null {
  const text = written(spelled);
  if (!kinds.includes(spelled.kind))
    return `is ${JSON.stringify(text)}: must be a JSON pointer such as "/${text}", or a {level}`;
  if (spelled.kind !== "levels" || names === undefined) return null;
  const unknown = spelled.names.find((name) => !names.includes(name));
  return unknown === undefined ? null : `{${unknown}} is neither a level of the topic nor a step of each`;
}

const levelNamed = (name: string, names: readonly string[]): Spelled | undefined =>
  names.includes(name) ? { kind: "levels", pieces: ["", ""], names: [name] } : undefined;

function identityOf(names: readonly string[], said: Record<Identity, Spelled | undefined>): Spec["identity"] {
  const entries = Object.entries(said).map(
    ([key, spelled]) => [key, spelled ?? levelNamed(key, names)] as const,
  );
  return Object.fromEntries(entries.filter(([, spelled]) => spelled !== undefined));
}

function readToken(table: Table, report: Wrong): Steps {
  const text = table["token"] ?? usualToken;
  const steps = typeof text === "string" ? stepsOf(text) : null;
  if (steps !== null && !/^\d*$/.test(steps.at(-1) ?? "")) return steps;
  report("token", 'must be a JSON pointer whose last step is a name, such as "/auth/token"');
  return [];
}

function readMetrics(table: Table, report: Wrong): readonly MetricPath[] | undefined {
  const said = table["metrics"];
  if (isObject(said)) return readNamed(said, report);
  return readPointers(table, "metrics", report)?.map((steps) => ({ name: null, steps }));
}

function readNamed(table: Table, report: Wrong): readonly MetricPath[] {
  const paths = Object.entries(table).map(([name, text]) => ({
    name,
    steps: typeof text === "string" ? stepsOf(text) : null,
  }));
  if (paths.length === 0) report("metrics", "names no metric");
  return paths.flatMap(({ name, steps }) => {
    if (steps !== null && name !== "") return [{ name, steps }];
    report("metrics", `${name} = … must be a JSON pointer such as "/a/b"`);
    return [];
  });
}

function readPointers(table: Table, key: string, report: Wrong): readonly Steps[] | undefined {
  const said = table[key];
  if (said === undefined) return undefined;
  const list: readonly unknown[] = Array.isArray(said) ? said : [said];
  if (list.length === 0 && key === "metrics") report(key, "names no metric");
  return list.flatMap((text) => {
    const steps = typeof text === "string" ? stepsOf(text) : null;
    if (steps === null) report(key, `${JSON.stringify(text)} is no JSON pointer such as "/a/b"`);
    return steps === null ? [] : [steps];
  });
}

/** The first word is the default. */
function readWord<const W extends string>(table: Table, key: string, words: readonly W[], report: Wrong): W {
  const [fallback] = words;
  const said = table[key] ?? fallback;
  const word = words.find((one) => one === said);
  if (word === undefined) report(key, `is ${JSON.stringify(said)}: must be one of ${words.join(", ")}`);
  return word ?? (fallback as W);
}

function readRaw(table: Table, report: Wrong): boolean {
  const said = table["raw"] ?? true;
  if (typeof said !== "boolean") report("raw", "must be true or false");
  return said !== false;
}

/** As in the registry: what a level of our own topic may be, so that no two devices are spelled alike. A site is no level. */
export function isName(part: Identity, text: string): boolean {
  return unfit(text) === null && (part === "site" || !hasSeparator(text));
}
