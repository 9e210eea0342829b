/**
 * The sinks that the contract suite runs over: the tables, and every sink of the list. A sink joins by its fixture,
 * the file sinks/<name>.ts. The fixture leaves out what its downstream system cannot be made to do (be away, hang,
 * hold a poison entry), and the suite skips those tests. A sink without a fixture fails the suite by name.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Entry } from "../../src/core/entry.ts";
import type { Sink } from "../../src/core/sink.ts";
import { SINKS } from "../../src/sink/index.ts";

export interface SinkFixture {
  readonly name: string;
  /** Why it cannot be tested here; "" if it can. */
  readonly unavailable: string;
  /** Keeps only the latest value of each metric per device. */
  readonly latest?: boolean;
  /** Sinks that store their position: exactly once, across restarts. */
  readonly positions: boolean;
  /** Makes the downstream system go away and come back. */
  readonly outages: boolean;
  /** Turns an event into one that the downstream system never takes. */
  readonly poison?: Partial<Entry>;
  /** @param timeoutMs when it gives up a downstream system that does not answer; of no use to one on the disk */
  open(timeoutMs: number): Promise<OpenSink>;
}

/** Long enough for a busy machine; what is to hang is opened with a shorter one. */
export const patientMs = 20_000;

export interface OpenSink {
  readonly sink: Sink;
  /** Another sink on the same downstream system, as after a restart of the gateway. */
  reopen(): Promise<Sink>;
  /** The metric `n` of each stored event, as often as it is stored, in ascending order. */
  stored(): Promise<number[]>;
  /** refuse: connections are refused. hang: they are accepted and nothing is answered. pass: all is well again. */
  far?(mode: "refuse" | "hang" | "pass"): void;
  stop(): Promise<void>;
}

const names = ["local", "postgres", ...SINKS.map(({ name }) => name)];

export const fixtures: readonly SinkFixture[] = await Promise.all(names.map(fixtureOf));

async function fixtureOf(name: string): Promise<SinkFixture> {
  const path = join(import.meta.dir, "sinks", `${name}.ts`);
  if (existsSync(path)) return ((await import(path)) as { fixture: SinkFixture }).fixture;
  const open = () => Promise.reject(new Error(`the ${name} sink has no fixture: write ${path}`));
  return { name, unavailable: "", positions: false, outages: false, open };
}
