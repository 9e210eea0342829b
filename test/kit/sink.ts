/** A sink in memory that a test controls: it can fail, hang, refuse or ignore, as a whole or per lane. */
import type { Entry } from "../../src/core/entry.ts";
import { noDetours, type Delivery, type Outcome, type Sink, type SinkParts } from "../../src/core/sink.ts";

/** What a lane does with a batch; "hang" answers when the test calls `release`, or rejects when it is aborted. */
export type Conduct = "take" | "hang" | "hang for ever" | Error;

export interface MemorySink extends Sink {
  /** Every batch that was handed over, whatever happened to it. */
  readonly calls: { lane: string; seqs: number[]; delivery: Delivery }[];
  /** The seqs taken, by lane, in the order in which they came. */
  readonly taken: Map<string, number[]>;
  conduct: (lane: string, entries: readonly Entry[]) => Conduct;
  /** Why an entry is refused; undefined: it is not. */
  refusal: (entry: Entry) => string | undefined;
  /** Entries that reach `deliver` and are not meant for it. */
  ignores: (entry: Entry) => boolean;
  /** Completes everything that hangs. */
  release(): void;
  closed: boolean;
}

export function memorySink(settings: Partial<Sink> = {}): MemorySink {
  const hanging: (() => void)[] = [];

  const sink: MemorySink = {
    name: "memory",
    batchMax: 100,
    batchBytesMax: 1_000_000,
    lingerMs: 0,
    deadlineMs: 10_000,
    whenFull: "hold",
    calls: [],
    taken: new Map(),
    conduct: () => "take",
    refusal: () => undefined,
    ignores: () => false,
    closed: false,
    ...settings,
    async deliver(delivery) {
      const [first] = delivery.entries;
      const lane = (first && sink.lane?.(first)) ?? "";
      sink.calls.push({ lane, seqs: delivery.entries.map((e) => e.seq), delivery });
      const conduct = sink.conduct(lane, delivery.entries);
      if (conduct instanceof Error) throw conduct;
      if (conduct === "hang for ever") await new Promise(() => {});
      if (conduct === "hang") await hang(delivery.signal);
      return take(lane, delivery);
    },
    release() {
      for (const go of hanging.splice(0)) go();
    },
    probe: () => Promise.resolve("memory"),
    close() {
      sink.closed = true;
      return Promise.resolve();
    },
  };

  function hang(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      hanging.push(resolve);
      signal.addEventListener("abort", () => reject(new Error("called off")));
    });
  }

  function take(lane: string, delivery: Delivery): Outcome {
    const outcome = { delivered: 0, ignored: 0, refused: 0 };
    const list = sink.taken.get(lane) ?? [];
    sink.taken.set(lane, list);
    for (const entry of delivery.entries) {
      const why = sink.refusal(entry);
      if (sink.ignores(entry)) {
        outcome.ignored++;
      } else if (why !== undefined) {
        delivery.refuse([{ entry, why }]);
        outcome.refused++;
      } else {
        list.push(entry.seq);
        outcome.delivered++;
      }
    }
    return outcome;
  }

  return sink;
}

/** By tenant; an entry without one is not meant for the sink. */
export function byTenant(entry: Entry): string | null {
  return entry.tenantId;
}

/** Neither a spool nor tables, for a sink that never has to be filled again. */
export const nothingKept: Pick<SinkParts<unknown>, "held" | "events"> = {
  held: { head: 0, read: () => [], cursorOf: () => ({ seq: 0, detours: noDetours }) },
  events: {
    async *recent() {},
    indexed: () => Promise.resolve(undefined),
    createIndex: () => Promise.resolve([]),
  },
};
