/**
 * Whether a reason that is asked for is a slip. Only what nothing was found for can be one: a table of an existing deployment holds
 * reasons of another program, and a gateway elsewhere may be newer than this one.
 */
import { reasons } from "../judge/reasons.ts";
import { UsageError } from "./command.ts";

/** @throws UsageError */
export function refuseUnknownReason(reason: string | undefined): void {
  const codes = reasons.map(({ code }) => code);
  if (reason === undefined || codes.includes(reason)) return;
  throw new UsageError(`there is no reason ${reason}: it must be one of ${codes.join(", ")}`);
}
