/** The answer of /readyz, problems, and how many rows of a list are asked for, as schemas. */
import { z } from "zod";
import { pageMax } from "../admin/device-pages.ts";
import { partSchema } from "../admin/readiness.ts";

export const limitParameter = z.coerce.number().int().min(1).max(pageMax).default(100);

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
