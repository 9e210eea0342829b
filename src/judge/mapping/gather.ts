/**
 * Gathers metrics from a record: a nested object is flattened with `_`, a list with its index, and what other keys of
 * the mapping use is left out. A metric named twice is a misfit, never an overwrite, because nobody can know which of
 * the two values is meant.
 */
import { exactly } from "../../core/text/json-digits.ts";
import { metricsMax } from "../metrics.ts";
import type { Steps } from "./pointer.ts";
import type { TextRule } from "./spec.ts";

export type Scalar = number | bigint | boolean | string | null;

/** How deep objects and lists may be nested, below the record. */
const depthMax = 8;

/** Kept of the metrics of an event: enough to see that they are too many. */
const keptMax = metricsMax + 1;

export class Gathered {
  /** Without a prototype, so that "constructor" is a name like any other. */
  readonly metrics: Record<string, Scalar> = Object.create(null) as Record<string, Scalar>;
  /** Of those put, also the ones that are not kept. */
  count = 0;
  /** The first thing that does not fit; null if everything fits. */
  why: string | null = null;

  put(name: string, value: Scalar): void {
    this.count += 1;
    // So many are a reject, and names that are put together of long ones would take a thousand times the payload's bytes.
    if (this.count > keptMax) return;
    if (name in this.metrics) this.why ??= `metric ${JSON.stringify(name)} is named twice`;
    this.metrics[name] = value;
  }
}

/** Puts a value under a name; an object's members under names of their own. "" for the record itself. */
export type Put = (into: Gathered, name: string, value: unknown) => void;

interface Tree {
  readonly [step: string]: Tree | true;
}

/** `passedOver`: pointers, relative to the record. @param from the place of the values in the record */
export function putter(rule: TextRule, passedOver: readonly Steps[], from: Steps = []): Put {
  const scalar = scalarRule(rule);
  const tree = subtree(treeOf(passedOver), from);

  function put(into: Gathered, name: string, value: unknown, below: Tree | undefined, depth: number): void {
    if (typeof value !== "object" || value === null) return scalar(into, name, value as Scalar);
    if (depth >= depthMax) {
      into.why ??= `nested deeper than ${depthMax} levels`;
      return;
    }
    const prefix = name === "" ? "" : `${name}_`;
    for (const key in value) {
      const under = below?.[key];
      if (under === true) continue;
      put(into, prefix + key, (value as Record<string, unknown>)[key], under, depth + 1);
    }
  }

  return (into, name, value) => put(into, name, value, tree, 0);
}

type PutScalar = (into: Gathered, name: string, value: Scalar) => void;

function scalarRule(rule: TextRule): PutScalar {
  if (rule === "keep") return (into, name, value) => into.put(name, value);
  if (rule === "number")
    return (into, name, value) => into.put(name, typeof value === "string" ? readText(value) : value);
  return (into, name, value) => {
    if (typeof value !== "string") into.put(name, value);
  };
}

/** Numbers in JSON's spelling only: what counts as a number must not depend on our parser. */
const numberText = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function readText(text: string): Scalar {
  if (text === "true" || text === "false") return text === "true";
  return numberText.test(text) && Number.isFinite(Number(text)) ? exactly(Number(text), text) : text;
}

function treeOf(pointers: readonly Steps[]): Tree {
  const root: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const steps of pointers) {
    let at = root;
    for (const step of steps.slice(0, -1)) {
      if (at[step] === true) break;
      at = (at[step] ??= Object.create(null)) as Record<string, unknown>;
    }
    const last = steps.at(-1);
    if (last !== undefined) at[last] = true;
  }
  return root as Tree;
}

function subtree(tree: Tree, steps: Steps): Tree | undefined {
  let at: Tree | undefined = tree;
  for (const step of steps) {
    const below: Tree | true | undefined = at?.[step];
    at = below === true ? undefined : below;
  }
  return at;
}
