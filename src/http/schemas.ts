/** The answer of /readyz and problems as schemas. */
import { z } from "zod";
import { partSchema } from "../admin/readiness.ts";

export const readySchema = z.object({ status: z.literal("ready"), parts: z.array(partSchema).readonly() });

/** RFC 9457. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().describe("What was wrong and the remedy, in one sentence."),
  })
  .describe("Problem details, RFC 9457; some problems have further members.");
