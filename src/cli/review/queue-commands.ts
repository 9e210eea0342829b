/**
 * `list`, `show`, `replay` and `discard` for a review queue (admin/review/review-queue.ts): the same commands for
 * dead letters and for the quarantine. They work in batches, with progress on standard error, and may be interrupted
 * between two batches.
 */
import { pageMax } from "../../admin/device-pages.ts";
import type { Filter, ReviewQueue } from "../../admin/review/review-queue.ts";
import {
  command,
  type CommandGroup,
  type Context,
  json,
  number,
  type Option,
  UsageError,
} from "../command.ts";
import { report, runThrough } from "./batches.ts";
import { filterOf, filters, selecting, selectionOf, whichOf } from "./options.ts";
import { jsonLine, printList } from "../report.ts";
import { oneLine } from "../../core/text/terminal.ts";
import { type gatewayOptions, type WhichGateway } from "../which-gateway.ts";
import { refuseUnknownReason } from "../known-reasons.ts";

export interface OpenQueue<Row, Full> {
  readonly queue: ReviewQueue<Row, Full>;
  close(): Promise<void>;
}

export interface QueueCommands<Row, Full> {
  readonly name: string;
  readonly summary: string;
  /** What several of them are called. */
  readonly things: string;
  /** The filter that only this queue has. */
  readonly own: { readonly [key in "sink" | "reason"]?: Option<string | undefined> };
  /** Which gateway they work with. */
  readonly where: ReturnType<typeof gatewayOptions>;
  readonly heading: readonly string[];
  readonly cells: (row: Row) => readonly (string | number | null)[];
  readonly open: (context: Context, which: WhichGateway) => Promise<OpenQueue<Row, Full>>;
}

export function queueCommands<Row extends { id: number }, Full extends object>(
  spec: QueueCommands<Row, Full>,
): CommandGroup {
  const { name, summary, things, own, where } = spec;
  const filtering: Readonly<Record<string, Option<string | undefined>>> = { ...own, ...filters };

  async function at<T>(
    context: Context,
    which: WhichGateway,
    work: (queue: ReviewQueue<Row, Full>) => Promise<T>,
  ) {
    const { queue, close } = await spec.open(context, which);
    try {
      return await work(queue);
    } finally {
      await close();
    }
  }

  const list = command({
    name: "list",
    summary: `List ${things}, oldest first`,
    options: {
      ...filtering,
      limit: number("--limit <n>", "At most this many", { default: 1_000, min: 1 }),
      json,
      ...where,
    },
    run: (context, { options }) =>
      at(context, whichOf(options), async (queue) => {
        const filter = filterOf(options);
        const rows = await listAll(queue, filter, options.limit);
        if (rows.length === 0) refuseUnknownReason(filter.reason);
        const none = `no ${things}${Object.keys(filter).length === 0 ? "" : " match"}`;
        const cells = rows.map((row) => spec.cells(row).map(cell));
        if (options.json) context.stdout(jsonLine(rows));
        else printList(context, spec.heading, cells, none);
        return 0;
      }),
  });

  const show = command({
    name: "show",
    summary: `Show one of the ${things} with its payload`,
    arguments: { id: "The id that `list` shows" },
    options: { json, ...where },
    run(context, { args, options }) {
      if (!/^\d{1,15}$/.test(args.id))
        throw new UsageError(`"${args.id}" is not an id: an id is a number that \`list\` shows`);
      return at(context, options, async (queue) => {
        const found = await queue.show(Number(args.id));
        if (found === undefined) {
          context.stderr(`none of the ${things} has the id ${args.id}\n`);
          return 1;
        }
        context.stdout(options.json ? jsonLine(found) : lines(found));
        return 0;
      });
    },
  });

  const act = (verb: "replay" | "discard", done: string, help: string) =>
    command({
      name: verb,
      summary: help,
      options: { ...filtering, ...selecting, json, ...where },
      run: (context, { options }) =>
        at(context, whichOf(options), async (queue) => {
          const selection = selectionOf(options);
          const total = await runThrough(context, (after, upTo) =>
            queue[verb]({ ...selection, after, up_to: upTo }),
          );
          if (total.matched === 0) refuseUnknownReason(selection.reason);
          report(context, {
            total,
            things,
            done,
            dryRun: selection.dry_run,
            asJson: options.json,
          });
          const absent = total.stopped ? 0 : new Set(selection.ids).size - total.matched;
          if (absent > 0)
            context.stderr(
              absent === 1
                ? "1 of the ids is not there, or does not match\n"
                : `${absent} of the ids are not there, or do not match\n`,
            );
          return total.keptCount === 0 && !total.stopped && absent <= 0 ? 0 : 1;
        }),
    });

  return {
    name,
    summary,
    commands: [
      list,
      show,
      act("replay", "replayed", `Replay ${things}: --ids, a filter, or --all`),
      act("discard", "discarded", `Discard ${things} for good: --ids, a filter, or --all`),
    ],
  };
}

async function listAll<Row extends { id: number }>(
  queue: ReviewQueue<Row, unknown>,
  filter: Filter,
  limit: number,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (;;) {
    const wanted = Math.min(pageMax, limit - rows.length);
    const page = await queue.list({ ...filter, after: rows.at(-1)?.id ?? 0, limit: wanted });
    rows.push(...page);
    if (page.length < wanted || rows.length >= limit) return rows;
  }
}

/** Name and value, one pair per line. */
function lines(found: object): string {
  const entries = Object.entries(found);
  const width = Math.max(...entries.map(([key]) => key.length));
  return entries
    .map(([key, value]) => `${key.padEnd(width)}  ${oneLine(cell(value as string | number | null))}\n`)
    .join("");
}

function cell(value: string | number | null): string {
  return value === null ? "-" : String(value);
}
