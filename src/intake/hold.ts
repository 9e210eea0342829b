/**
 * Whether the intake is held, and why: in the words of whoever could not write, and as one word for metrics and pages.
 *
 * Its begin and its end are logged once each, however often the group is tried in between; what is shown is the last try's reason.
 */
import { heldReasons, type HeldReason } from "../core/held.ts";
import { explain, type Log } from "../core/log/log.ts";

const retryMsMin = 250;
/** A try that only waited, such as 5 s for another process to let go of the file, puts the next one off no further. */
const retryMsMax = 2_000;
/** So much longer than a try takes: unless it is known that there is no room, all that waits is encoded for it, up to a tenth of a second. */
const retryTimes = 20;

export class Hold {
  readonly #log: Log;
  #why: string | null = null;
  #reason: HeldReason | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Why nothing is taken in; null while it is. */
  get why(): string | null {
    return this.#why;
  }

  /** The same as one word. */
  get reason(): HeldReason | null {
    return this.#reason;
  }

  /** The group could not be written in a try that took so long. @returns after how many ms to try again */
  begin(error: unknown, tookMs: number): number {
    const why = explain(error);
    if (this.#why === null)
      this.#log.error({ error: why }, "intake held: nothing is acknowledged until the spool can be written");
    this.#why = why;
    this.#reason = reasonOf(error);
    return Math.min(Math.max(retryMsMin, retryTimes * tookMs), retryMsMax);
  }

  /** A group was written. */
  end(): void {
    if (this.#why !== null) this.#log.info("intake released");
    this.#why = null;
    this.#reason = null;
  }
}

/** What the spool says of itself; whatever else it throws, it could not be written. */
function reasonOf(error: unknown): HeldReason {
  const said = Object(error)["reason"];
  return heldReasons.find((reason) => reason === said) ?? "cannot_write";
}
