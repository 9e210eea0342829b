/** Runs a replay or discard from its first batch to its last, and reports it. */
import type { ReviewOutcome } from "../../admin/review/review-queue.ts";
import { number } from "../../core/text/readable.ts";
import type { Context } from "../command.ts";
import { type Progress, withProgress } from "../progress.ts";
import { jsonLine, table } from "../report.ts";

/** How many of those that stay are named; all are counted. */
const keptNamedMax = 1_000;

interface Total {
  matched: number;
  done: number;
  keptCount: number;
  kept: ReviewOutcome["kept"];
  readonly why: Map<string, number>;
  stopped: boolean;
}

type Batch = (after: number, upTo: number | undefined) => Promise<ReviewOutcome>;

export function runThrough(context: Context, batch: Batch): Promise<Total> {
  return withProgress(
    context,
    (done) => `${number(done)} processed`,
    (step) => batches(context, batch, step),
  );
}

async function batches(context: Context, batch: Batch, step: Progress["step"]): Promise<Total> {
  const total: Total = { matched: 0, done: 0, keptCount: 0, kept: [], why: new Map(), stopped: false };
  let upTo: number | undefined;
  for (let after: number | null = 0; after !== null;) {
    const outcome: ReviewOutcome = await batch(after, upTo);
    total.matched += outcome.matched;
    total.done += outcome.done;
    total.keptCount += outcome.kept.length;
    total.kept.push(...outcome.kept.slice(0, keptNamedMax - total.kept.length));
    for (const { why } of outcome.kept) total.why.set(why, (total.why.get(why) ?? 0) + 1);
    upTo = outcome.up_to;
    after = outcome.next;
    step(total.matched);
    if (after !== null && context.isTerminal !== true)
      context.stderr(
        `${number(total.matched)} processed, ${number(total.done)} done, ${number(total.keptCount)} stay …\n`,
      );
    total.stopped = after !== null && context.signal.aborted;
    if (total.stopped) break;
  }
  return total;
}

export function report(
  context: Context,
  {
    total,
    things,
    done,
    dryRun,
    asJson,
  }: { total: Total; things: string; done: string; dryRun: boolean; asJson: boolean },
): void {
  const { matched, keptCount, kept, why, stopped } = total;
  if (asJson) {
    const answer = { matched, done: total.done, kept_count: keptCount, kept, dry_run: dryRun, stopped };
    return context.stdout(jsonLine(answer));
  }
  context.stdout(
    `${number(total.done)} of ${number(matched)} ${things} ${dryRun ? "would be " : ""}${done}, ${number(keptCount)} ${keptCount === 1 ? "stays" : "stay"}\n`,
  );
  const reasons = [...why].sort(([, a], [, b]) => b - a).slice(0, 20);
  if (reasons.length > 0)
    context.stdout(table([["because", "count"], ...reasons.map(([text, n]) => [text, number(n)])]));
  if (stopped) context.stderr("interrupted: the rest was not processed\n");
}
