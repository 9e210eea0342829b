/**
 * Logs that entries are refused: when it begins, while it goes on, and how many of the oldest dead letters were
 * removed at the bound. Nobody looks into a queue that fills silently.
 */
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log/log.ts";
import { size } from "../core/text/readable.ts";
import type { DeadLetters, Refused } from "./dead-letters.ts";

const lookEveryMs = 1_000;
/** While it goes on, one line per this time. */
const sayEveryMs = 300_000;

export interface LetterWatch {
  /** One sentence for `/readyz`. */
  detail(): string;
  stop(): void;
}

interface LetterWatchOptions {
  readonly letters: Pick<DeadLetters, "onRefused" | "totals" | "discarded">;
  readonly clock: Clock;
  readonly log: Log;
}

export function watchLetters({ letters, clock, log }: LetterWatchOptions): LetterWatch {
  let refused = 0;
  let refusedSaid = 0;
  let discardedSaid = 0;
  let last: Refused | undefined;
  let saidAtMs = Number.NEGATIVE_INFINITY;

  letters.onRefused((what) => {
    refused += what.count;
    last = what;
  });

  function say(): void {
    if (refused === refusedSaid || clock.monoMs() - saidAtMs < sayEveryMs) return;
    const discarded = letters.discarded - discardedSaid;
    const { sink, last: letter } = last ?? {};
    const sample = {
      sink,
      tenant_id: letter?.entry.tenantId,
      device_id: letter?.entry.deviceId,
      why: letter?.why.slice(0, 300),
    };
    const counts = { refused: refused - refusedSaid, kept: letters.totals().count, discarded };
    log.warn({ ...counts, ...sample }, "entries are refused: see `sluice dead-letters list`");
    if (discarded > 0)
      log.warn(
        { discarded },
        "the oldest dead letters were removed: see DEAD_LETTERS_MAX_BYTES and DEAD_LETTERS_MAX_AGE_DAYS",
      );
    [refusedSaid, discardedSaid, saidAtMs] = [refused, letters.discarded, clock.monoMs()];
  }

  const timer = clock.every(lookEveryMs, say);
  return {
    detail() {
      const { count, bytes } = letters.totals();
      if (count === 0) return "none";
      const gone =
        letters.discarded > 0 ? `; ${letters.discarded} removed at their bound since the start` : "";
      return `${count} kept (${size(bytes)}), ${refused} refused since the start${gone}: see \`sluice dead-letters list\``;
    },
    stop: () => timer.cancel(),
  };
}
