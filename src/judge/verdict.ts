/**
 * How a stage of the judge says no: a code of its own table and, where the code does not say it all, a detail.
 *
 * A plain value and not an exception: a flood of bad messages must cost no more than good ones. A detail may quote
 * what the device sent; the judge blanks the token in it and shortens it before it leaves (judge.ts).
 */

/** A row of a stage's table: what the code means, in one sentence, and what to do about it. */
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
