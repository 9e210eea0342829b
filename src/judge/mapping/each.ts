/**
 * `each`: one record per member of a list or an object (`/values/*`, `/{device}/*`). Also the part of a payload that
 * holds only some of its records, in the payload's own form, so that one record can be kept, and judged again, by
 * itself.
 */
import { isObject } from "../../core/text/is-object.ts";
import { nameIn } from "./braces.ts";
import { notPointer, plainStep, pointerOf, stepsOf } from "./pointer.ts";

export type EachStep =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "any" }
  | { readonly kind: "name"; readonly name: string };

/** The members that lead to a record: a key or an index per step. */
export type Path = readonly (string | number)[];

export interface Member {
  readonly path: Path;
  /** undefined if the path ends earlier, at something that has no members. */
  readonly record: unknown;
  /** The values of the named steps. */
  readonly names: readonly string[];
}

/** Parses the steps, or says what is wrong with them. */
export function eachOf(text: string): readonly EachStep[] | string {
  if (!text.startsWith("/")) return 'must be a path such as "/values/*" or "/{device}/*"';
  const steps = text.slice(1).split("/").map(stepOf);
  if (!steps.some(({ kind }) => kind !== "key"))
    return "has no step * or {name}, so it names one record and not each";
  if (steps.some((step) => step.kind === "key" && /[{}*]/.test(step.key)))
    return "has a step that is none: a key, *, or {name}";
  return stepsOf(text) === null ? notPointer : steps;
}

function stepOf(step: string): EachStep {
  const name = nameIn(step);
  if (name !== undefined) return { kind: "name", name };
  return step === "*" ? { kind: "any" } : { kind: "key", key: plainStep(step) };
}

/** As it is written in the mapping. */
export function eachText(steps: readonly EachStep[]): string {
  return steps.map(stepText).join("");
}

function stepText(step: EachStep): string {
  if (step.kind === "key") return pointerOf([step.key]);
  return step.kind === "any" ? "/*" : `/{${step.name}}`;
}

/** Every member, in order; if there are more than `membersMax`, one more as a sign of that. */
export function membersOf(payload: unknown, steps: readonly EachStep[], membersMax: number): Member[] {
  const members: Member[] = [];
  const visit = (value: unknown, at: number, path: Path, names: readonly string[]): void => {
    const step = steps[at];
    if (members.length > membersMax) return;
    if (step === undefined) return void members.push({ path, record: value, names });
    const within = keysOf(value, step);
    if (within === null) return void members.push({ path, record: undefined, names });
    for (const key of within) {
      const named = step.kind === "name" ? [...names, String(key)] : names;
      visit((value as Record<string | number, unknown>)[key], at + 1, [...path, key], named);
    }
  };
  visit(payload, 0, [], []);
  return members;
}

/** null if it has no such members. */
function keysOf(value: unknown, step: EachStep): readonly (string | number)[] | null {
  if (step.kind === "key") return isObject(value) && Object.hasOwn(value, step.key) ? [step.key] : null;
  if (Array.isArray(value)) return [...value.keys()];
  return isObject(value) ? Object.keys(value) : null;
}

/** The payload with only the members on the paths. */
export function partOf(
  payload: unknown,
  paths: readonly Path[],
  steps: readonly EachStep[],
  at = 0,
): unknown {
  const step = steps[at];
  if (step === undefined || paths.some((path) => path.length <= at)) return payload;
  const through = Map.groupBy(paths, (path) => path[at] ?? "");
  const kept = [...through].map(([key, some]) => {
    const member = (payload as Record<string | number, unknown>)[key];
    return [key, partOf(member, some, steps, at + 1)] as const;
  });
  if (Array.isArray(payload)) return kept.map(([, part]) => part);
  const others =
    step.kind === "key" ? Object.entries(payload as object).filter(([key]) => !through.has(key)) : [];
  return Object.fromEntries([...others, ...kept]);
}
