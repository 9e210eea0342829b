/** The answer of /readyz and problems as schemas; see also stats-schema.ts. */
import { z } from "zod";
import { parts } from "./stats-schema.ts";

export const readySchema = z.object({ status: z.literal("ready"), parts });

/** RFC 9457. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().describe("What was wrong and the remedy, in one sentence."),
  })
  .describe("Problem details, RFC 9457; some problems have further members.");
