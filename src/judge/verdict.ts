/**
 * How a stage of the judge rejects: a code from its own table and, if the code does not say everything, a detail.
 *
 * A rejection is a plain value and not an exception: a flood of bad messages must cost no more than good ones. A
 * detail may quote what the device sent; secrets in it are blanked, and it is cut, when it becomes part of an entry
 * (candidate.ts).
 */

/** A row of a stage's table: the code's meaning in one sentence, and the remedy. */
export interface Reason {
  readonly help: string;
  readonly remedy: string;
}

export type Reasons = Readonly<Record<string, Reason>>;

export interface Rejection<Code extends string = string> {
  readonly code: Code;
  readonly detail: string | null;
}

export function rejection<Code extends string>(code: Code, detail: string | null = null): Rejection<Code> {
  return { code, detail };
}

export function isRejection(result: object): result is Rejection {
  return "code" in result;
}
