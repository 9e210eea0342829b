/** What a sink throws when the downstream system could not take a batch now. */

interface OutageOptions {
  readonly retryAfterMs?: number;
  readonly retryMaxMs?: number;
  readonly alarm?: boolean;
  readonly scope?: "lane" | "sink";
  readonly cause?: unknown;
}

/**
 * Any other error is an outage too; this one tells the drain how long to keep away and whether a person has to act.
 */
export class Outage extends Error {
  override readonly name = "Outage";
  /** A floor under the drain's own back-off, in ms: what the downstream system asked for. */
  readonly retryAfterMs: number;
  /** A lid on the drain's own back-off, in ms: it may end with any entry that comes. */
  readonly retryMaxMs: number;
  /** It does not end by itself: the message says what an operator has to do. */
  readonly alarm: boolean;

  /**
   * sink: no lane would fare better, so the others need not find that out one by one. lane: the downstream system was there, and the trouble
   * is this lane's.
   */
  scope: "lane" | "sink";

  constructor(message: string, options: OutageOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs ?? 0;
    this.retryMaxMs = options.retryMaxMs ?? Number.POSITIVE_INFINITY;
    this.alarm = options.alarm ?? false;
    this.scope = options.scope ?? "lane";
  }
}
