/** /admin/dead-letters: entries that a far side refused, with its words. */
import { z } from "zod";
import { type Desk, deskEndpoints, type DeskSpec, filterFields } from "./desk.ts";
import type { Endpoint } from "./endpoint.ts";

const letterRow = z.object({
  id: z.number(),
  sink: z.string(),
  refused_at: z.string(),
  why: z.string().describe("The far side's words."),
  kind: z.enum(["event", "reject", "deferred"]),
  tenant_id: z.string().nullable(),
  device_id: z.string().nullable(),
  msg_type: z.string().nullable(),
  received_at: z.string(),
});
const letterFull = letterRow.extend({
  seq: z.number().describe("Its place in the spool when it was refused."),
  topic: z.string(),
  site_id: z.string().nullable(),
  event_ts: z.string().nullable(),
  reason: z.string().nullable().describe("For a reject: the judge's reason."),
  detail: z.string().nullable(),
  payload: z.string().describe("JSON as text, every digit as the device sent it."),
});

export type LetterRow = z.infer<typeof letterRow>;
export type LetterFull = z.infer<typeof letterFull>;
export type LetterDesk = Desk<LetterRow, LetterFull>;

export const letterDeskSpec: DeskSpec<LetterRow, LetterFull> = {
  path: "/admin/dead-letters",
  id: "dead_letters",
  things: "dead letters",
  replayed: "each is delivered anew to the sink that refused it, and to no other",
  fields: { sink: z.string().optional().describe("Only those that this sink refused."), ...filterFields },
  row: letterRow,
  full: letterFull,
};

export function deadLetterEndpoints(desk: LetterDesk): readonly Endpoint[] {
  return deskEndpoints(letterDeskSpec, desk);
}
