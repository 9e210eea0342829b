/** A kept reject as it is shown, as the table quarantine_events holds it. */
import { z } from "zod";
import { filterText } from "../filter-text.ts";
import { filterFields, type QueueSpec, type ReviewQueue } from "./review-queue.ts";

const quarantineRow = z.object({
  id: z.number(),
  reason: z.string(),
  tenant_id: z.string().nullable(),
  device_id: z.string().nullable(),
  msg_type: z.string().nullable(),
  ingested_at: z.string(),
});
const quarantineFull = quarantineRow.extend({
  topic: z.string(),
  site_id: z.string().nullable(),
  event_ts: z.string().nullable(),
  payload: z.string().describe("JSON as text; a payload that was not JSON is in `_raw`."),
});

export type QuarantineLine = z.infer<typeof quarantineRow>;
export type QuarantineFull = z.infer<typeof quarantineFull>;
export type QuarantineQueue = ReviewQueue<QuarantineLine, QuarantineFull>;

export const quarantineSpec: QueueSpec<QuarantineLine, QuarantineFull> = {
  path: "/admin/quarantine",
  id: "quarantine",
  things: "quarantined messages",
  replayed:
    "each is judged anew under today's registry (not by its token, which is gone) and keeps its times; what is accepted leaves the quarantine",
  fields: { reason: filterText.optional().describe("Only with this reason."), ...filterFields },
  row: quarantineRow,
  full: quarantineFull,
};
