/** A judge with one cached device, whose registry answers a test sets. */
import type { Deferred, Entry, Reject } from "../../src/core/entry.ts";
import { isPending, type Judge, type Pending } from "../../src/judge/contract.ts";
import { createJudge, type Policy } from "../../src/judge/judge.ts";
import type { DeviceAuth } from "../../src/core/device.ts";
import { aBody, aDevice, aMessage, aPolicy } from "../kit/builders.ts";
import { simulatedClock, type SimulatedClock } from "../kit/clock.ts";

export interface Court {
  readonly judge: Judge<Entry | Pending>;
  readonly clock: SimulatedClock;
  device: DeviceAuth | undefined;
  mayReread: boolean;
  policy: Policy;
  isTimeKnown: boolean;
  /** Up to here nobody knew the time. */
  unknownUntilMs: number;
}

export function court(options: { policy?: Partial<Policy>; requireToken?: boolean } = {}): Court {
  const clock = simulatedClock();
  const it: Court = {
    clock,
    device: aDevice(),
    mayReread: false,
    isTimeKnown: true,
    unknownUntilMs: 0,
    policy: aPolicy(options.policy),
    judge: createJudge({
      policy: () => it.policy,
      auth: { get: () => it.device, mayReread: () => it.mayReread },
      requireToken: options.requireToken ?? true,
      backlogBytesMax: 1e9,
      clock: { ...clock, isTimeKnown: (atMs = Infinity) => it.isTimeKnown && atMs > it.unknownUntilMs },
    }),
  };
  return it;
}

export function entryOf(outcome: Entry | Pending): Entry {
  if (isPending(outcome)) throw new Error("pending");
  return outcome;
}

/** An entry as the judge gets it again from the spool. */
export function deferredOf(outcome: Entry | Pending): Deferred {
  const entry = entryOf(outcome);
  if (entry.kind !== "deferred") throw new Error(`not deferred but ${entry.reason ?? entry.kind}`);
  return entry;
}

export function rejectOf(outcome: Entry | Pending): Reject {
  const entry = entryOf(outcome);
  if (entry.kind !== "reject") throw new Error(`not rejected but ${entry.kind}`);
  return entry;
}

export function pendingOf(outcome: Entry | Pending): Pending {
  if (!isPending(outcome)) throw new Error(`not pending but ${outcome.reason ?? outcome.kind}`);
  return outcome;
}

export function withoutDevice(it: Court): Court {
  it.device = undefined;
  return it;
}

export const dev = { mode: "DEV", storeRejects: true, rateLimitRps: 0 } as const;
export const body = (changes: Record<string, unknown>) => aMessage(aBody(changes));
export const onTopic = (name: string) => aMessage(aBody(), { topic: name });
export const metrics = (value: unknown) => body({ metrics: value });
export const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`m${at}`, at]));

/** A kept reject, judged again. */
export function replay(judge: Pick<Judge, "reread">, entry: Reject, device: DeviceAuth | null): Entry {
  return entryOf(judge.reread(entry).judge(() => device)[0]!);
}
