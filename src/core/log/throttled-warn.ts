/** Warnings that a device can provoke: the same one is logged once in a while, with the number of those left out. */
import type { Clock } from "../clock.ts";
import type { Log } from "./log.ts";

const everyMs = 10_000;
/** The texts are our own and the library's; the bound is for the case that one holds something from the wire. */
const textsMax = 100;

type Fields = Readonly<Record<string, unknown>>;

/** @param fields a function if they take long to make: it is called only if they are logged */
export type Warn = (fields: Fields | (() => Fields), text: string) => void;

export function throttledWarn(log: Log, clock: Clock): Warn {
  const seen = new Map<string, { sinceMs: number; leftOut: number }>();
  return (fields, text) => {
    const nowMs = clock.monoMs();
    const before = seen.get(text);
    if (before !== undefined && nowMs - before.sinceMs < everyMs) {
      before.leftOut += 1;
      return;
    }
    if (seen.size >= textsMax) seen.clear();
    seen.set(text, { sinceMs: nowMs, leftOut: 0 });
    const shown = typeof fields === "function" ? fields() : fields;
    log.warn({ ...shown, ...(before !== undefined && { left_out: before.leftOut }) }, text);
  };
}
