/** The four endpoints of a review queue: list, show, replay and discard. */
import { z } from "zod";
import {
  isInOrder,
  NotNow,
  outcomeSchema,
  queuedId,
  selectionFields,
  type ListQuery,
  type QueueSpec,
  type ReviewQueue,
  type Selection,
} from "../admin/review/review-queue.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import { limitParameter } from "./schemas.ts";

const notInOrder = "`since` must be before `until`";

export function reviewEndpoints<Row extends { id: number }, Full>(
  spec: QueueSpec<Row, Full>,
  queue: ReviewQueue<Row, Full>,
): readonly Endpoint[] {
  const { path, id: prefix, things, fields, row, full } = spec;
  const query = z
    .strictObject({
      ...fields,
      after: z.coerce.number().int().min(0).default(0).describe("Continue after this id."),
      limit: limitParameter,
    })
    .refine(isInOrder, notInOrder) as unknown as z.ZodType<ListQuery>;
  const names = [...Object.keys(fields), "ids", "all"];
  const body = z
    .strictObject({ ...fields, ...selectionFields })
    .refine((given) => names.some((key) => (given as Record<string, unknown>)[key] !== undefined), {
      error: "say which: `ids`, a filter, or `all: true`",
    })
    .refine(isInOrder, notInOrder) as unknown as z.ZodType<Selection>;
  const act = (verb: "replay" | "discard", summary: string) =>
    endpoint({
      method: "POST",
      path: `${path}/${verb}`,
      id: `${prefix}.${verb}`,
      summary,
      body,
      answer: { help: "What became of this batch.", schema: outcomeSchema },
      problems: [503],
      handle: ({ body: selection, note }) =>
        unlessNotNow(async () => {
          const outcome = await queue[verb](selection);
          note({ selection, done: outcome.done, kept: outcome.kept.length });
          return outcome;
        }),
    });
  return [
    endpoint({
      method: "GET",
      path,
      id: `${prefix}.list`,
      summary: `List ${things}, oldest first`,
      query,
      answer: {
        help: "A page.",
        schema: z.object({
          rows: z.array(row).readonly(),
          next: queuedId.nullable().describe("`after` of the next page."),
        }),
      },
      problems: [503],
      handle: ({ query: asked }) =>
        unlessNotNow(async () => {
          const rows = await queue.list(asked);
          return { rows, next: rows.length < asked.limit ? null : (rows.at(-1)?.id ?? null) };
        }),
    }),
    endpoint({
      method: "GET",
      path: `${path}/{id}`,
      id: `${prefix}.show`,
      summary: "Show one of them with its payload",
      answer: { help: "All that is known about it.", schema: full },
      problems: [404, 503],
      handle: ({ params }) =>
        unlessNotNow(async () => {
          const found = Number.isSafeInteger(Number(params["id"]))
            ? await queue.show(Number(params["id"]))
            : undefined;
          return found ?? problem(404, "There is none with this id.");
        }),
    }),
    act("replay", `Replay ${things}: ${spec.replayed}`),
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
