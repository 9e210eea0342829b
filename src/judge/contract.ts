/**
 * What the judge promises to those who ask it: the intake, the review of rejects, the commands. A contract of its own, so that they need
 * not read how it decides (judge.ts).
 */
import type { DeviceAuth, DeviceId } from "../core/device.ts";
import type { Deferred, Entry, Event, Reject } from "../core/entry.ts";
import type { Message } from "../core/message.ts";
import type { Candidate } from "./candidate.ts";

/** A message whose device must be looked up before it can be judged. It holds the token: never write or log it. */
export interface Pending extends DeviceId {
  readonly pending: true;
  /** The device's. */
  readonly key: string;
  /** null: the message names none. */
  readonly siteId: string | null;
  /** Only `resume` reads this. */
  readonly candidate: Candidate;
}

/** A message from which a mapping makes several events. */
export interface Several {
  readonly several: readonly (Entry | Pending)[];
}

/** A kept reject, read again with the mappings of now. */
export interface Reread {
  /** The devices that the reject's payload names. */
  readonly devices: readonly DeviceId[];
  /** Each event that it makes, as it would be kept by itself. */
  parts(): readonly Reject[];
  /** Checks everything but its token, which is gone, and its rate. @param of the registry's answer by `deviceKey` */
  judge(of: (key: string) => DeviceAuth | null): readonly (Event | Reject)[];
}

/** `Found`: what a message may turn out to be. */
export interface Judge<Found = Entry | Pending | Several> {
  /**
   * Returns an Entry (event or reject, seq 0), a Pending if its device must be looked up first, or several of these.
   * Never throws.
   */
  judge(message: Message): Found;
  /**
   * Judges a Pending by the registry's answer: a row; null if the device is not registered; "unavailable" if the
   * registry did not answer in time, which makes a deferred Entry with `tokenHash` and the reason
   * REGISTRY_UNAVAILABLE; "crowded" if, besides, no more messages of strangers may wait. If the event time is the
   * arrival and the host's clock is not set, the message of a device that proved itself is deferred without an event
   * time, as CLOCK_NOT_SET. Never throws.
   */
  resume(pending: Pending, answer: DeviceAuth | null | "unavailable" | "crowded"): Entry;
  /**
   * Judges a deferred entry by the registry's answer of now: an event or a reject, seq 0. Its rate was charged when
   * it came.
   */
  rejudge(entry: Deferred, answer: DeviceAuth | null): Event | Reject;
  /** Reads a kept reject again because an operator asked for it. */
  reread(entry: Reject): Reread;
  /**
   * The keys of the devices that a message claims to be from, the same that `judge` will name; none if it names none.
   */
  devicesOf(message: Message): readonly string[];
  /** The topic pattern of the mapping that reads this topic; undefined: it is of our own form, or of none. */
  mappingOf(topic: string): string | undefined;
  /** Does a message say its own time, or unless `byTime` its sequence number (each event of it, if there are several)? */
  hasOwnIdentity(message: Message, byTime?: boolean): boolean;
}

export function isPending(outcome: Entry | Pending | Several): outcome is Pending {
  return "pending" in outcome;
}

export function isSeveral(outcome: Entry | Pending | Several): outcome is Several {
  return "several" in outcome;
}
