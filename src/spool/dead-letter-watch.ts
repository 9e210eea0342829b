/**
 * Logs that entries are refused, when it begins and while it goes on; and how many of the oldest dead letters were
 * removed at their bounds. Nobody looks into a queue that fills, or goes, silently.
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
    const [fresh, discarded] = [refused - refusedSaid, letters.discarded - discardedSaid];
    if (fresh + discarded === 0 || clock.monoMs() - saidAtMs < sayEveryMs) return;
    const { count: kept } = letters.totals();
    if (fresh > 0)
      log.warn(
        { refused: fresh, kept, discarded, ...sampleOf(last) },
        "entries are refused: see `sluice dead-letters list`",
      );
    if (discarded > 0)
      log.warn(
        { discarded, kept },
        "the oldest dead letters were removed: see DEAD_LETTERS_MAX_BYTES and DEAD_LETTERS_MAX_AGE_DAYS",
      );
    [refusedSaid, discardedSaid, saidAtMs] = [refused, letters.discarded, clock.monoMs()];
  }

  const timer = clock.every(lookEveryMs, say);
  return {
    detail() {
      const { count, bytes } = letters.totals();
      const gone =
        letters.discarded > 0 ? `; ${letters.discarded} removed at their bounds since the start` : "";
      if (count === 0) return `none${gone}`;
      return `${count} kept (${size(bytes)}), ${refused} refused since the start${gone}: see \`sluice dead-letters list\``;
    },
    stop: () => timer.cancel(),
  };
}

function sampleOf(refused: Refused | undefined) {
  const { sink, last } = refused ?? {};
  return {
    sink,
    tenant_id: last?.entry.tenantId,
    device_id: last?.entry.deviceId,
    why: last?.why.slice(0, 300),
  };
}
