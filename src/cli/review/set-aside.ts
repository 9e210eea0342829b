/**
 * `sluice dead-letters set-aside`: an operator decides about the entries at which a running gateway's sink is stuck.
 */
import { asideAnswer, type AsideAnswer, asideMax } from "../../admin/review/set-aside.ts";
import { command, requiredString, number, toggle, string } from "../command.ts";
import { jsonLine, table } from "../report.ts";
import { clientOf, runningOptions } from "../which-gateway.ts";
import { countedEntries } from "../../core/text/readable.ts";

export const setAside = command({
  name: "set-aside",
  summary: "Make the oldest entries of a sink in trouble dead letters without trying them",
  options: {
    sink: requiredString("--sink <name>", "The sink, as `sinks` in /stats names it"),
    lane: string("--lane <name>", "The lane, as its alarm names it (default: the first in trouble)"),
    count: number("--count <n>", "How many entries, the oldest first", { default: 1, min: 1, max: asideMax }),
    dryRun: toggle("--dry-run", "Change nothing; only say which entries"),
    ...runningOptions,
  },
  async run(context, { options: { sink, lane, count, dryRun, json, ...which } }) {
    const body = { sink, ...(lane !== undefined && { lane }), count, dry_run: dryRun };
    const client = clientOf(context, which);
    const answer = asideAnswer.parse(await client.request("POST", "/admin/dead-letters/set-aside", body));
    if (json) context.stdout(jsonLine(answer));
    else context.stdout(table([["seq", "tenant", "device", "type"], ...answer.entries.map(cells)]));
    context.stderr(`${summaryOf(answer, dryRun)}\nthe trouble was: ${answer.trouble}\n`);
    return answer.done || dryRun ? 0 : 1;
  },
});

const cells = ({ seq, tenant_id, device_id, msg_type }: AsideAnswer["entries"][number]) => [
  String(seq),
  tenant_id ?? "-",
  device_id ?? "-",
  msg_type ?? "-",
];

function summaryOf({ entries, done }: AsideAnswer, dryRun: boolean): string {
  const these = countedEntries(entries.length);
  if (dryRun) return `${these} would be set aside`;
  return done
    ? `${these} set aside: \`sluice dead-letters replay --all\` delivers them again`
    : `${these} not set aside yet: that happens by itself as soon as the downstream system answers`;
}
