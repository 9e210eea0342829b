/**
 * The topic of a mapping: literal levels, `+` for a level that does not matter, `{name}` for a level or a part of
 * one, `{name...}` for the rest. A topic is matched once and the result kept (routes.ts), so matching may be slow.
 */
import { type Level, partsIn } from "../../core/topic-filter.ts";
import { nameIn, partsOf, restNameIn } from "./braces.ts";

export interface Pattern {
  readonly text: string;
  readonly levels: readonly Level[];
  /** The names, in the order in which `match` returns their values. */
  readonly names: readonly string[];
  /** The filter to subscribe to. */
  readonly filter: string;
}

/** Parses a pattern, or says what is wrong with it. */
export function patternOf(text: string): Pattern | string {
  const levels: Level[] = [];
  const written = text.split("/");
  for (const [i, level] of written.entries()) {
    const read = levelOf(level);
    if (typeof read === "string") return read;
    if (read.kind === "rest" && i < written.length - 1) return `${level} must be the last level`;
    levels.push(read);
  }
  const why = wrongAsWhole(text, levels);
  return why ?? { text, levels, names: levels.flatMap(namesOf), filter: levels.map(filterOf).join("/") };
}

function wrongAsWhole(text: string, levels: readonly Level[]): string | null {
  const names = levels.flatMap(namesOf);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (text === "") return "is empty";
  if (text.startsWith("$share/"))
    return "MQTT_SHARE_GROUP makes a shared subscription, of every mapping's topic";
  return twice === undefined ? null : `{${twice}} stands in it twice`;
}

function levelOf(level: string): Level | string {
  if (level === "+") return { kind: "any", name: null };
  const whole = nameIn(level);
  if (whole !== undefined) return { kind: "any", name: whole };
  const rest = restNameIn(level);
  if (rest !== undefined) return { kind: "rest", name: rest };
  if (level === "#") return "for # write {name...}, which names the rest";
  const { pieces, names } = partsOf(level);
  if (pieces.some((piece) => /[{}+#\0]/.test(piece)))
    return `${JSON.stringify(level)} is no level: text, +, {name}, text with {name}, or {name...}`;
  if (names.length === 0) return { kind: "literal", text: level };
  if (pieces.slice(1, -1).includes("")) return `in ${level} nothing parts two names`;
  return { kind: "parts", pieces, names };
}

function namesOf(level: Level): readonly string[] {
  if (level.kind === "parts") return level.names;
  return level.kind === "literal" || level.name === null ? [] : [level.name];
}

function filterOf(level: Level): string {
  if (level.kind === "literal") return level.text;
  return level.kind === "rest" ? "#" : "+";
}

/**
 * The values of the pattern's names, those of a rest joined with `_`, as an object is flattened; null if it is
 * another topic.
 */
export function match({ levels }: Pattern, topic: string): string[] | null {
  const given = topic.split("/");
  const last = levels.at(-1);
  const enough = last?.kind === "rest" ? given.length >= levels.length : given.length === levels.length;
  // MQTT 5 §4.7.2: a wildcard at the beginning does not match the broker's own topics.
  if (!enough || (topic.startsWith("$") && levels[0]?.kind !== "literal")) return null;
  const values: string[] = [];
  for (const [i, level] of levels.entries()) {
    const text = given[i] ?? "";
    if (level.kind === "literal" && level.text !== text) return null;
    if (level.kind === "any" && level.name !== null) values.push(text);
    if (level.kind === "rest") values.push(given.slice(i).join("_"));
    if (level.kind !== "parts") continue;
    const found = partsIn(level, text);
    if (found === null) return null;
    values.push(...found);
  }
  return values;
}
