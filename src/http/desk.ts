/**
 * A desk: where an operator looks through what stayed behind (dead letters, quarantine), brings it back or discards it.
 *
 * Both kinds have the same four endpoints, and the command line asks them the same way. A request handles one batch and says
 * where to go on, so that none runs for long and whoever asks can show progress; `up_to` keeps a run from meeting what it
 * causes itself (a letter that is refused again has a new id).
 */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";

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

/** What to bring back or discard: everything that fits all of it. */
export interface Selection extends Filter {
  readonly ids?: readonly number[] | undefined;
  readonly after: number;
  readonly up_to?: number | undefined;
  /** Only say what would be done. */
  readonly dry_run: boolean;
}

export type Outcome = z.infer<typeof outcomeSchema>;

export interface Desk<Row, Full> {
  list(query: ListQuery): Promise<readonly Row[]>;
  show(id: number): Promise<Full | undefined>;
  replay(selection: Selection): Promise<Outcome>;
  discard(selection: Selection): Promise<Outcome>;
}

/** Nothing was changed, and it may go well later: the intake is held, the database is away. */
export class NotNow extends Error {
  override readonly name = "NotNow";
}

const id = z.number().int().min(1);
const time = z.iso.datetime({ offset: true });
const name = z.string().min(1).max(65_535);
const idsMax = 1_000;
const pageMax = 1_000;

export const filterFields = {
  tenant: name.optional().describe("Only of this tenant."),
  device: name.optional().describe("Only of this device."),
  since: time.optional().describe("Only from this time on (ISO 8601)."),
  until: time.optional().describe("Only before this time (ISO 8601)."),
};

const selectionFields = {
  ids: z.array(id).min(1).max(idsMax).optional(),
  all: z.literal(true).optional().describe("Needed where neither ids nor a filter is given."),
  dry_run: z.boolean().default(false).describe("Only say what would be done."),
  after: z.number().int().min(0).default(0).describe("Continue after this id: the last answer's `next`."),
  up_to: z.number().int().min(0).optional().describe("No id beyond this one: the first answer's `up_to`."),
};

export const outcomeSchema = z.object({
  matched: z.number().describe("How many were looked at."),
  done: z.number(),
  kept: z.array(z.object({ id, why: z.string() })).describe("Those that stay, and why."),
  next: id.nullable().describe("There may be more: ask again with `after` set to this."),
  up_to: z.number(),
});

export interface DeskSpec<Row, Full> {
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

export function deskEndpoints<Row extends { id: number }, Full>(
  spec: DeskSpec<Row, Full>,
  desk: Desk<Row, Full>,
): readonly Endpoint[] {
  const { path, id: prefix, things, fields, row, full } = spec;
  const query = z.strictObject({
    ...fields,
    after: z.coerce.number().int().min(0).default(0).describe("Continue after this id."),
    limit: z.coerce.number().int().min(1).max(pageMax).default(100),
  }) as z.ZodType<ListQuery>;
  const names = [...Object.keys(fields), "ids", "all"];
  const body = z
    .strictObject({ ...fields, ...selectionFields })
    .refine((given) => names.some((key) => (given as Record<string, unknown>)[key] !== undefined), {
      error: "say which: `ids`, a filter, or `all: true`",
    }) as unknown as z.ZodType<Selection>;
  const act = (verb: "replay" | "discard", summary: string) =>
    endpoint({
      method: "POST",
      path: `${path}/${verb}`,
      id: `${prefix}.${verb}`,
      summary,
      body,
      answer: { help: "What became of this batch.", schema: outcomeSchema },
      problems: [422, 503],
      handle: ({ body: selection, note }) =>
        unlessNotNow(async () => {
          const outcome = await desk[verb](selection);
          note({ selection, done: outcome.done, kept: outcome.kept.length });
          return outcome;
        }),
    });
  return [
    endpoint({
      method: "GET",
      path,
      id: `${prefix}.list`,
      summary: `List ${things}, the oldest first`,
      query,
      answer: {
        help: "A page.",
        schema: z.object({
          rows: z.array(row).readonly(),
          next: id.nullable().describe("`after` of the next page."),
        }),
      },
      problems: [503],
      handle: ({ query: asked }) =>
        unlessNotNow(async () => {
          const rows = await desk.list(asked);
          return { rows, next: rows.length < asked.limit ? null : (rows.at(-1)?.id ?? null) };
        }),
    }),
    endpoint({
      method: "GET",
      path: `${path}/{id}`,
      id: `${prefix}.show`,
      summary: "Show one with its payload",
      answer: { help: "All that is known of it.", schema: full },
      problems: [404, 503],
      handle: ({ params }) =>
        unlessNotNow(async () => {
          const found = /^\d{1,15}$/.test(params["id"] ?? "")
            ? await desk.show(Number(params["id"]))
            : undefined;
          return found ?? problem(404, "There is none with this id.");
        }),
    }),
    act("replay", `Bring ${things} back: ${spec.replayed}`),
    act("discard", `Discard ${things} for good`),
  ];
}

async function unlessNotNow<T>(work: () => Promise<T | Response>): Promise<T | Response> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof NotNow) return problem(503, error.message);
    throw error;
  }
}
