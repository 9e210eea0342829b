/**
 * A value of a mapping, spelled in one of three ways: a JSON pointer, text with levels (`{a}-{b}`), or plain text. There is no fourth.
 */
import { partsOf } from "./braces.ts";
import { finder, notPointer, pointerOf, stepsOf, type Steps } from "./pointer.ts";

export type Spelled =
  | { readonly kind: "pointer"; readonly steps: Steps }
  /** `pieces` has one more element than `names`. */
  | { readonly kind: "levels"; readonly pieces: readonly string[]; readonly names: readonly string[] }
  | { readonly kind: "plain"; readonly text: string };

/** The scope from which a value is taken. */
export interface Scope {
  /** The values of the topic's names, then of the names of `each`. */
  readonly names: readonly string[];
  readonly record: unknown;
  readonly payload: unknown;
}

/** undefined if there is none. */
export type Value = (scope: Scope) => unknown;

/** Parses a spelling, or says what is wrong with it. */
export function spelledOf(text: string): Spelled | string {
  if (text === "") return "is empty";
  if (text.startsWith("/")) {
    const steps = stepsOf(text);
    return steps === null ? notPointer : { kind: "pointer", steps };
  }
  const { pieces, names } = partsOf(text);
  if (pieces.some((piece) => /[{}]/.test(piece))) return "has a brace that belongs to no {name}";
  return names.length === 0 ? { kind: "plain", text } : { kind: "levels", pieces, names };
}

/** The value as it is written in the file. */
export function written(spelled: Spelled): string {
  if (spelled.kind === "pointer") return pointerOf(spelled.steps);
  if (spelled.kind === "plain") return spelled.text;
  return spelled.pieces.reduce((text, piece, i) => `${text}{${spelled.names[i - 1]}}${piece}`);
}

/** @param names the names to which a level or `each` gives a value, in the order of `Scope.names` */
export function valueOf(spelled: Spelled, names: readonly string[]): Value {
  if (spelled.kind === "plain") return () => spelled.text;
  if (spelled.kind === "levels")
    return levelsValue(
      spelled.pieces,
      spelled.names.map((name) => names.indexOf(name)),
    );
  const find = finder(spelled.steps);
  return ({ record, payload }) => {
    const found = find(record);
    return found === undefined && record !== payload ? find(payload) : found;
  };
}

function levelsValue(pieces: readonly string[], at: readonly number[]): Value {
  const [only = 0] = at;
  if (at.length === 1 && pieces.join("") === "") return ({ names }) => names[only];
  return ({ names }) => pieces.reduce((text, piece, i) => text + (names[at[i - 1] ?? 0] ?? "") + piece);
}
