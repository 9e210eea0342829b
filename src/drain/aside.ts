/**
 * Entries that an operator sets aside: the head of a lane in trouble, to become dead letters without asking the downstream system.
 *
 * They are named by seq, once, when the operator says so; whatever the drain does meanwhile, no others take their place.
 * Kept in memory: after a restart the operator, who sees the same alarm, says so again.
 */
import { isFor, type Entry } from "../core/entry.ts";
import type { Lane } from "./lane.ts";
import { refusedOf } from "../core/position.ts";
import type { Delivery, Outcome, Sink } from "../core/sink.ts";

export class Aside {
  readonly #whys = new Map<number, string>();
  #waiting: (() => void)[] = [];

  /** Why, by seq. */
  get whys(): ReadonlyMap<number, string> {
    return this.#whys;
  }

  /** As many of a batch as stand aside at its head, so that they do not wait for the rest; all of it if none does. */
  batchOf(entries: readonly Entry[]): readonly Entry[] {
    const end = entries.findIndex(({ seq }) => !this.#whys.has(seq));
    return end > 0 ? entries.slice(0, end) : entries;
  }

  /** Resolves when all of them are settled. */
  put(entries: readonly Entry[], why: string): Promise<void> {
    for (const { seq } of entries) this.#whys.set(seq, why);
    return new Promise((resolve) => {
      const left = new Set(entries.map(({ seq }) => seq));
      this.#waiting.push(() => {
        for (const seq of left) if (!this.#whys.has(seq)) left.delete(seq);
        if (left.size === 0) resolve();
      });
    });
  }

  settled(entries: readonly Entry[]): void {
    if (this.#whys.size === 0) return;
    const seqs = new Set(entries.map(({ seq }) => seq));
    this.#settle((seq) => seqs.has(seq));
  }

  /** Everything up to this seq is. */
  settledTo(last: number): void {
    this.#settle((seq) => seq <= last);
  }

  #settle(isSettled: (seq: number) => boolean): void {
    for (const seq of this.#whys.keys()) if (isSettled(seq)) this.#whys.delete(seq);
    for (const look of this.#waiting) look();
    if (this.#whys.size === 0) this.#waiting = [];
  }
}

/** A lane in trouble, and the head of what waits in it. */
export interface Stuck {
  readonly lane: string;
  readonly trouble: string;
  readonly entries: readonly Entry[];
}

export function stuckLane(lanes: Iterable<Lane>, key: string | undefined): Lane | undefined {
  return [...lanes].find((lane) => lane.trouble.why !== null && lane.key === (key ?? lane.key));
}

export function stuckOf(lane: Lane, sink: string, count: number): Stuck {
  const held = lane.peek(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  const entries = held.filter((entry) => isFor(sink, entry)).slice(0, count);
  return { lane: lane.key, trouble: lane.trouble.why ?? "", entries };
}

/** For a sink without a position, which need not know: a batch that stands aside (see `batchOf`) does not get there. */
export async function withoutAside(sink: Sink, delivery: Delivery): Promise<Outcome> {
  const refused = refusedOf(sink.name, delivery.entries, delivery.aside);
  if (refused.length < delivery.entries.length) return sink.deliver(delivery);
  delivery.refuse(refused);
  return { delivered: 0, ignored: 0, refused: refused.length };
}
