/** /admin/dead-letters/set-aside: an operator decides about the entries at which a sink is stuck. */
import { asideAnswer, asideAsked, type SetAside } from "../admin/review/set-aside.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";

export function asideEndpoint(setAside: SetAside): Endpoint {
  return endpoint({
    method: "POST",
    path: "/admin/dead-letters/set-aside",
    id: "dead_letters.set_aside",
    summary: "Make the oldest entries of a sink in trouble dead letters without trying them",
    body: asideAsked,
    answer: { help: "The entries.", schema: asideAnswer },
    problems: [409],
    async handle({ body, note }) {
      const answer = await setAside(body);
      if (answer === undefined)
        return problem(
          409,
          "No sink (or lane) with this name is in trouble and has entries waiting: see `sinks` in /stats.",
        );
      const seqs = answer.entries.map(({ seq }) => seq);
      note({ ...body, from_seq: seqs[0], to_seq: seqs.at(-1), entries: seqs.length, done: answer.done });
      return answer;
    },
  });
}
