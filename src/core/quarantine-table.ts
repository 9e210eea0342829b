/**
 * The table quarantine_events as an operator reads it: the rejects that were kept. Both stores write it in the words of
 * store/rows.ts, and both are read in the same way, also rows that another service wrote.
 */

export interface QuarantineFilter {
  readonly reason?: string | undefined;
  readonly tenantId?: string | undefined;
  readonly deviceId?: string | undefined;
  readonly ids?: readonly number[] | undefined;
  /** ISO 8601, by arrival: from then on, and before then. */
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  /** After this id, up to and including that one. */
  readonly after: number;
  readonly upTo?: number | undefined;
  readonly limit: number;
}

export interface QuarantineRow {
  readonly id: number;
  /** ISO 8601, UTC, to the microsecond. */
  readonly ingestedAt: string;
  readonly eventTs: string | null;
  readonly topic: string;
  readonly tenantId: string | null;
  readonly siteId: string | null;
  readonly deviceId: string | null;
  readonly msgType: string | null;
  readonly reason: string;
  /** JSON as text. */
  readonly payload: string;
}

/** What is a part's own. */
export type QuarantinePart = Pick<QuarantineRow, "tenantId" | "siteId" | "deviceId" | "msgType" | "payload">;

/** Every method rejects if the store cannot be used. */
export interface QuarantineTable {
  /** In order of id. */
  list(filter: QuarantineFilter): Promise<QuarantineRow[]>;
  /** The newest id; 0 if there is none. */
  lastId(): Promise<number>;
  /** @returns how many there were */
  remove(ids: readonly number[]): Promise<number>;
  /**
   * Puts several rows in the place of one, which keep its topic, times and reason: all at once or not at all. @returns their ids; none if
   * the row is not there any more
   */
  divide(id: number, parts: readonly QuarantinePart[]): Promise<number[]>;
}
