/**
 * A review queue: where an operator looks through what stayed behind (dead letters, quarantine), has it replayed or discards it.
 *
 * Both have the same four endpoints, and the command line asks them the same way. A request handles one batch and says
 * where to go on, so that none runs for long and whoever asks can show progress; `up_to` keeps a run from meeting what it
 * causes itself (a dead letter that is refused again has a new id).
 */
import { z } from "zod";
import { filterText } from "../filter-text.ts";

export interface Filter {
  readonly sink?: string | undefined;
  readonly reason?: string | undefined;
  readonly tenant?: string | undefined;
  readonly device?: string | undefined;
  /** ISO 8601; from then on, and before then. */
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

export interface ListQuery extends Filter {
  /** Continue after this id. */
  readonly after: number;
  readonly limit: number;
}

/** What to replay or discard: everything that fits all of it. */
export interface Selection extends Filter {
  readonly ids?: readonly number[] | undefined;
  readonly after: number;
  readonly up_to?: number | undefined;
  /** Only say what would be done. */
  readonly dry_run: boolean;
}

export type ReviewOutcome = z.infer<typeof outcomeSchema>;

export interface ReviewQueue<Row, Full> {
  list(query: ListQuery): Promise<readonly Row[]>;
  show(id: number): Promise<Full | undefined>;
  replay(selection: Selection): Promise<ReviewOutcome>;
  discard(selection: Selection): Promise<ReviewOutcome>;
}

/** Nothing was changed, and it may go well later: the intake is held, the database is away. */
export class NotNow extends Error {
  override readonly name = "NotNow";
}

export const queuedId = z.number().int().min(1);
const time = z.iso.datetime({ offset: true });
const name = filterText.min(1).max(65_535);
const idsMax = 1_000;

export const filterFields = {
  tenant: name.optional().describe("Only of this tenant."),
  device: name.optional().describe("Only of this device."),
  since: time.optional().describe("Only from this time on (ISO 8601)."),
  until: time.optional().describe("Only before this time (ISO 8601)."),
};

/** Times the wrong way round fit nothing, and "nothing is there" would be the answer. */
export function isInOrder({ since, until }: Filter & Pick<ListQuery, "after">): boolean {
  return since === undefined || until === undefined || Date.parse(since) < Date.parse(until);
}

export const selectionFields = {
  ids: z.array(queuedId).min(1).max(idsMax).optional(),
  all: z.literal(true).optional().describe("Required if neither ids nor a filter is given."),
  dry_run: z.boolean().default(false).describe("Change nothing; only say what would be done."),
  after: z
    .number()
    .int()
    .min(0)
    .default(0)
    .describe("Continue after this id: the `next` of the last answer."),
  up_to: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe("No id beyond this one: the `up_to` of the first answer."),
};

export const outcomeSchema = z.object({
  matched: z.number().describe("How many match in this batch."),
  done: z.number(),
  kept: z
    .array(z.object({ id: queuedId, why: z.string() }))
    .describe("Those that stay in the queue, and why."),
  next: queuedId
    .nullable()
    .describe("If not null, there may be more: repeat the request with `after` set to this."),
  up_to: z.number(),
});

export interface QueueSpec<Row, Full> {
  /** As in the path and the operation ids. */
  readonly path: string;
  readonly id: string;
  /** Several of them, for people. */
  readonly things: string;
  /** What replaying does, in half a sentence. */
  readonly replayed: string;
  readonly fields: z.ZodRawShape;
  readonly row: z.ZodType<Row>;
  readonly full: z.ZodType<Full>;
}
