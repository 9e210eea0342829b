/** A dead letter as it is shown: an entry that a downstream system refused, with its words. */
import { z } from "zod";
import { filterFields, type QueueSpec, type ReviewQueue } from "./review-queue.ts";

const deadLetterRow = z.object({
  id: z.number(),
  sink: z.string(),
  refused_at: z.string(),
  why: z.string().describe("The downstream system's words."),
  kind: z.enum(["event", "reject", "deferred"]),
  tenant_id: z.string().nullable(),
  device_id: z.string().nullable(),
  msg_type: z.string().nullable(),
  received_at: z.string(),
});
const deadLetterFull = deadLetterRow.extend({
  seq: z.number().describe("The entry's place in the spool when it was refused."),
  topic: z.string(),
  site_id: z.string().nullable(),
  event_ts: z.string().nullable(),
  reason: z.string().nullable().describe("For a reject: the judge's reason."),
  detail: z.string().nullable(),
  payload: z.string().describe("JSON as text, with every digit as the device sent it."),
});

export type DeadLetterRow = z.infer<typeof deadLetterRow>;
export type DeadLetterFull = z.infer<typeof deadLetterFull>;
export type DeadLetterQueue = ReviewQueue<DeadLetterRow, DeadLetterFull>;

export const deadLetterSpec: QueueSpec<DeadLetterRow, DeadLetterFull> = {
  path: "/admin/dead-letters",
  id: "dead_letters",
  things: "dead letters",
  replayed: "each is delivered anew to the sink that refused it, and to no other",
  fields: { sink: z.string().optional().describe("Only those that this sink refused."), ...filterFields },
  row: deadLetterRow,
  full: deadLetterFull,
};
