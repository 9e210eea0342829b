/**
 * What must be closed, noted where it was opened: it is closed in the reverse order, and one part that fails keeps no other from its
 * turn. Rejected alternative: AsyncDisposableStack, which does the same but tells of several failures as one nested error, while an
 * operator wants a line for each.
 */
import { explain, type Log } from "./log/log.ts";

export interface Closers {
  /** To be done before everything that was added before. */
  add(close: () => unknown): void;
  /** @throws the first failure, once all have had their turn */
  run(): Promise<void>;
}

export function createClosers(log: Log): Closers {
  const all: (() => unknown)[] = [];
  return {
    add: (close) => void all.push(close),
    async run() {
      const failures: unknown[] = [];
      for (let close = all.pop(); close !== undefined; close = all.pop()) {
        try {
          await close();
        } catch (error) {
          failures.push(error);
          log.error(
            { error: explain(error) },
            "a part did not stop as it should; the others are stopped all the same",
          );
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
