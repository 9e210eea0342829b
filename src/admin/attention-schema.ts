/** What needs somebody (attention.ts), and the state of each part, as both are told. */
import { z } from "zod";
import { partSchema } from "./readiness.ts";

/** In the names of `/stats`; all but the text null while it works. */
export const attentionSchema = z.object({
  level: z.enum(["working", "warning", "critical"]).describe("How bad it is."),
  // Without the time.
  text: z.string().describe('"Working", or what is wrong.'),
  since: z.string().nullable().describe("ISO 8601, UTC; null while it works."),
  detail: z.string().nullable().describe("The words of the part in trouble."),
  remedy: z.string().nullable().describe("What is at risk and what to do."),
});
export type Attention = Readonly<z.infer<typeof attentionSchema>>;

export const partStateSchema = partSchema.extend({
  since: z
    .string()
    .nullable()
    .describe("Since when it cannot do its work: ISO 8601, UTC; null while it can."),
  remedy: z.string().nullable().describe("What is at risk and what to do; null while it can."),
});
export type PartState = Readonly<z.infer<typeof partStateSchema>>;
