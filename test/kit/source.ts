/**
 * What the tests of the sources share: an intake that a test empties by hand, settings from text, waiting by
 * condition.
 */
import pino from "pino";
import type { Log } from "../../src/core/log/log.ts";
import type { Intake, Message } from "../../src/core/message.ts";
import type { Setting, Settings, Values } from "../../src/core/settings.ts";
import type { Source } from "../../src/core/source.ts";
import type { MqttParts } from "./builders.ts";

export interface FakeIntake extends Intake {
  readonly messages: (Message & Partial<MqttParts>)[];
  full: boolean;
  held: string | null;
  /** The judge's verdict on everything that comes. */
  accepts: boolean;
  /** There is room again: releases what was held. */
  drain(): void;
  texts(): string[];
}

/** Keeps what it gets; with `durable` it settles everything at its source at the end of the turn. */
export function fakeIntake(durable?: () => Source): FakeIntake {
  let resumes: (() => void)[] = [];
  let group: Message[] = [];
  const flush = () => {
    const given = group;
    group = [];
    durable?.().durable(given);
  };
  const intake: FakeIntake = {
    messages: [],
    full: false,
    held: null,
    accepts: true,
    receive(message) {
      intake.messages.push(message);
      if (message.outcome === null) message.outcome = intake.accepts ? "accepted" : "TOKEN_INVALID";
      if (durable !== undefined && group.push(message) === 1) setImmediate(flush);
      Object.assign(message, { payload: Buffer.from(message.payload) });
      return true;
    },
    isFull: () => intake.full,
    whenRoom: (resume) => void resumes.push(resume),
    putsOff: () => false,
    collects(lastCall) {
      setTimeout(lastCall, 2);
      return true;
    },
    drain() {
      intake.full = false;
      intake.held = null;
      const waiting = resumes;
      resumes = [];
      for (const resume of waiting) resume();
    },
    texts: () => intake.messages.map(textOf),
  };
  return intake;
}

const textOf = (message: Message): string => Buffer.from(message.payload).toString();

/** The values of a table of settings: the defaults, and `given` as it would stand in the environment. */
export function settingsOf<const S extends Settings>(
  table: S,
  given: Readonly<Record<string, string>>,
): Values<S> {
  const rows = Object.entries<Setting<unknown>>(table).map(([key, row]) => {
    const said = given[row.name] ?? row.default ?? undefined;
    return [key, row.schema.parse(said)];
  });
  return Object.fromEntries(rows) as Values<S>;
}

/** Waits until `holds` is true, checking often; the deadline is generous, because a slow machine is no failure. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(5);
  }
}

/** A log that keeps its lines. */
export function recordingLog(): {
  readonly log: Log;
  readonly lines: { msg: string; [field: string]: unknown }[];
} {
  const lines: { msg: string; [field: string]: unknown }[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}
