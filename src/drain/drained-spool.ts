/** The spool as a drain sees it. */
import type { Entry } from "../core/entry.ts";
import type { Cursor, Refusal } from "../core/sink.ts";

/** A start of the gateway, and the first seq that it wrote. */
export interface EpochRange {
  readonly epoch: string;
  readonly first: number;
}

export interface DrainedSpool {
  /** Seq of the newest entry; 0 before the first. */
  readonly head: number;
  /** Seq of the oldest still held; head + 1 if none is. */
  readonly first: number;
  /** Oldest first. */
  readonly epochs: readonly EpochRange[];
  /** The first seq of this process. */
  readonly startedAt: number;
  readonly deadLetters: {
    putAll(sink: string, letters: readonly (Refusal & { epoch: string })[]): void;
    takeBack(sink: string, epochs: readonly string[], seq: number): void;
  };
  /** What this process wrote from `seq` on, and will write, belongs to a new epoch; durable when it returns. */
  beginEpoch(seq: number): void;
  read(seq: number): readonly Entry[];
  onAppend(listener: () => void): void;
  cursorOf(sink: string): Cursor;
  setCursor(sink: string, state: Cursor): void;
}
