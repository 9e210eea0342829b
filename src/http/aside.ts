/** /admin/dead-letters/set-aside: an operator decides on the entries that a sink is stuck at. */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";

const countMax = 5_000;

const asked = z.strictObject({
  sink: z.string().min(1),
  lane: z.string().optional().describe("As `alarms` in /stats names it; absent: the first in trouble."),
  count: z.number().int().min(1).max(countMax).default(1).describe("So many entries, the oldest first."),
  dry_run: z.boolean().default(false).describe("Only say which."),
});

export const asideAnswer = z.object({
  lane: z.string(),
  trouble: z.string().describe("What the sink was stuck at, in the far side's words."),
  entries: z
    .array(
      z.object({
        seq: z.number(),
        tenant_id: z.string().nullable(),
        device_id: z.string().nullable(),
        msg_type: z.string().nullable(),
      }),
    )
    .readonly(),
  done: z
    .boolean()
    .describe("They are dead letters now; if not, they will be once the far side can be asked."),
});

export type AsideAsked = z.infer<typeof asked>;
export type AsideAnswer = z.infer<typeof asideAnswer>;
/** undefined: there is no such sink, or it is not in trouble. */
export type SetAside = (asked: AsideAsked) => Promise<AsideAnswer | undefined>;

export function asideEndpoint(setAside: SetAside): Endpoint {
  return endpoint({
    method: "POST",
    path: "/admin/dead-letters/set-aside",
    id: "dead_letters.set_aside",
    summary: "Put the oldest entries that a sink in trouble waits with into the dead letters, untried",
    body: asked,
    answer: { help: "Which they are.", schema: asideAnswer },
    problems: [409, 422],
    async handle({ body, note }) {
      const answer = await setAside(body);
      if (answer === undefined)
        return problem(
          409,
          "No sink (and lane) of this name is in trouble with entries waiting: see `sinks` in /stats.",
        );
      const seqs = answer.entries.map(({ seq }) => seq);
      note({ ...body, from_seq: seqs[0], to_seq: seqs.at(-1), entries: seqs.length, done: answer.done });
      return answer;
    },
  });
}
