/**
 * An InfluxDB sink for tests: default settings except what a test changes, its own data directory, simulated time on
 * request.
 */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { Outage } from "../../src/core/outage.ts";
import type { Setting, Values } from "../../src/core/settings.ts";
import { influxSettings } from "../../src/sink/influx/settings.ts";
import { openInfluxSink, type InfluxOptions } from "../../src/sink/influx/sink.ts";
import { type Cursor, noDetours, type Outcome, type Sink, type SinkParts } from "../../src/core/sink.ts";
import { delivery } from "../contract/entries.ts";

type InfluxValues = Values<typeof influxSettings>;

/** The defaults of the table of settings, changed. */
function influxValues(changed: Partial<InfluxValues>): InfluxValues {
  const rows: [string, Setting<unknown>][] = Object.entries(influxSettings);
  const defaults = rows.map(([key, row]) => [
    key,
    row.default === null ? undefined : row.schema.parse(row.default),
  ]);
  return { ...(Object.fromEntries(defaults) as InfluxValues), ...changed };
}

interface SpoolAtStart {
  readonly kept: readonly Entry[];
  readonly known: Pick<Cursor, "seq" | "detours">;
}

const nothingKnown: SpoolAtStart = { kept: [], known: { seq: 0, detours: noDetours } };

export interface TestSink {
  readonly sink: Sink;
  readonly dataDir: string;
  /** Delivers one batch; what was refused stays in `refused`. */
  deliver(entries: readonly Entry[], signal?: AbortSignal): Promise<Outcome>;
  /** Delivers until it works, as the drain does; the number of tries. */
  persist(entries: readonly Entry[]): Promise<number>;
  /** seq → why. */
  readonly refused: Map<number, string>;
  /** A sink as it is after a restart of the gateway; `spool`: what that has and knows, in general nothing. */
  restart(spool?: SpoolAtStart): Promise<void>;
  dispose(): Promise<void>;
}

export function openInflux(
  changed: Partial<InfluxValues>,
  clock: Clock = systemClock,
  fetch?: InfluxOptions["fetch"],
): TestSink {
  const dataDir = mkdtempSync(join(tmpdir(), "sluice-influx-"));
  const settings = influxValues({ timeoutMs: 5_000, ...changed });
  let { known, kept } = nothingKnown;
  const held: SinkParts<unknown>["held"] = {
    head: 0,
    read: (from) => kept.filter(({ seq }) => seq >= from),
    cursorOf: () => known,
  };
  const make = () =>
    openInfluxSink({ settings, clock, log: silentLog, dataDir, held, ...(fetch && { fetch }) });
  const refused = new Map<number, string>();
  let sink = make();

  async function deliver(entries: readonly Entry[], signal?: AbortSignal) {
    const given = delivery(entries, signal === undefined ? {} : { signal });
    try {
      return await sink.deliver(given);
    } finally {
      for (const [seq, why] of given.refused) refused.set(seq, why);
    }
  }

  return {
    get sink() {
      return sink;
    },
    dataDir,
    refused,
    deliver,
    async persist(entries) {
      for (let tries = 1; ; tries += 1) {
        try {
          await deliver(entries);
          return tries;
        } catch (error) {
          if (tries >= 50) throw error;
        }
      }
    },
    async restart(spool = nothingKnown) {
      await sink.close();
      ({ known, kept } = spool);
      sink = make();
    },
    async dispose() {
      await sink.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** The outage in which this ends. */
export async function outage(work: Promise<unknown>): Promise<Outage> {
  const error: unknown = await work.then(
    () => new Error("it did not throw"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Outage);
  return error as Outage;
}
