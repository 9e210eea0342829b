/**
 * `list`, `show`, `replay` and `discard` over a desk (http/desk.ts): the same words for dead letters and for the quarantine.
 * What is asked for is done a batch at a time, with progress on standard error, and may be interrupted between two batches.
 */
import { z } from "zod";
import type { Desk, Filter, Outcome } from "../http/desk.ts";
import {
  command,
  type CommandGroup,
  type Context,
  number,
  type Option,
  toggle,
  UsageError,
  words,
} from "./command.ts";
import { gatewayOptions } from "./gateway-client.ts";
import type { WhichGateway } from "./remote.ts";
import { table } from "./report.ts";

export interface OpenDesk<Row, Full> {
  readonly desk: Desk<Row, Full>;
  close(): Promise<void>;
}

export interface DeskCommands<Row, Full> {
  readonly name: string;
  readonly summary: string;
  /** Several of them. */
  readonly things: string;
  /** The filter that only this desk has. */
  readonly own: { readonly [key in "sink" | "reason"]?: Option<string | undefined> };
  readonly heading: readonly string[];
  readonly cells: (row: Row) => readonly (string | number | null)[];
  readonly open: (context: Context, which: WhichGateway) => Promise<OpenDesk<Row, Full>>;
}

const pageMax = 1_000;
/** Of those that stay, so many are named; all are counted. */
const keptNamedMax = 1_000;

const json = toggle("--json", "Print the answer as JSON");
const filters = {
  tenant: words("--tenant <id>", "Only of this tenant"),
  device: words("--device <id>", "Only of this device"),
  since: moment("--since <time>", "Only from this time on: ISO 8601, or 90m, 24h, 7d ago"),
  until: moment("--until <time>", "Only before this time"),
};
const selecting = {
  ids: ids(),
  all: toggle("--all", "All of them"),
  dryRun: toggle("--dry-run", "Only say what would be done"),
};

export function deskCommands<Row extends { id: number }, Full extends object>(
  spec: DeskCommands<Row, Full>,
): CommandGroup {
  const { name, summary, things, own } = spec;
  const filtering: Readonly<Record<string, Option<string | undefined>>> = { ...own, ...filters };

  async function at<T>(context: Context, which: WhichGateway, work: (desk: Desk<Row, Full>) => Promise<T>) {
    const { desk, close } = await spec.open(context, which);
    try {
      return await work(desk);
    } finally {
      await close();
    }
  }

  const list = command({
    name: "list",
    summary: `List ${things}, the oldest first`,
    options: {
      ...filtering,
      limit: number("--limit <n>", "At most so many", { default: 1_000, min: 1 }),
      json,
      ...gatewayOptions,
    },
    run: (context, { options }) =>
      at(context, whichOf(options), async (desk) => {
        const rows = await listAll(desk, filterOf(options), options.limit);
        if (options.json) context.stdout(`${JSON.stringify(rows)}\n`);
        else context.stdout(table([spec.heading, ...rows.map((row) => spec.cells(row).map(cell))]));
        return 0;
      }),
  });

  const show = command({
    name: "show",
    summary: "Show one with its payload",
    arguments: { id: "Its id, as `list` has it" },
    options: { json, ...gatewayOptions },
    run: (context, { args, options }) =>
      at(context, options, async (desk) => {
        const found = /^\d{1,15}$/.test(args.id) ? await desk.show(Number(args.id)) : undefined;
        if (found === undefined) {
          context.stderr(`there is none with the id ${args.id} among the ${things}\n`);
          return 1;
        }
        context.stdout(options.json ? `${JSON.stringify(found)}\n` : lines(found));
        return 0;
      }),
  });

  const act = (verb: "replay" | "discard", done: string, help: string) =>
    command({
      name: verb,
      summary: help,
      options: { ...filtering, ...selecting, json, ...gatewayOptions },
      run: (context, { options }) =>
        at(context, whichOf(options), async (desk) => {
          const selection = selectionOf(options);
          const total = await runThrough(context, (after, upTo) =>
            desk[verb]({ ...selection, after, up_to: upTo }),
          );
          report(context, {
            total,
            things,
            done,
            dryRun: selection.dry_run,
            asJson: options.json,
          });
          return total.keptCount === 0 && !total.stopped ? 0 : 1;
        }),
    });

  return {
    name,
    summary,
    commands: [
      list,
      show,
      act("replay", "brought back", `Bring ${things} back: --ids, a filter, or --all`),
      act("discard", "discarded", `Discard ${things} for good: --ids, a filter, or --all`),
    ],
  };
}

type Options = Readonly<Record<string, unknown>>;

interface Total {
  matched: number;
  done: number;
  keptCount: number;
  kept: Outcome["kept"];
  readonly why: Map<string, number>;
  stopped: boolean;
}

async function runThrough(
  context: Context,
  batch: (after: number, upTo: number | undefined) => Promise<Outcome>,
): Promise<Total> {
  const total: Total = { matched: 0, done: 0, keptCount: 0, kept: [], why: new Map(), stopped: false };
  let upTo: number | undefined;
  for (let after: number | null = 0; after !== null;) {
    const outcome: Outcome = await batch(after, upTo);
    total.matched += outcome.matched;
    total.done += outcome.done;
    total.keptCount += outcome.kept.length;
    total.kept.push(...outcome.kept.slice(0, keptNamedMax - total.kept.length));
    for (const { why } of outcome.kept) total.why.set(why, (total.why.get(why) ?? 0) + 1);
    upTo = outcome.up_to;
    after = outcome.next;
    if (after !== null)
      context.stderr(`${total.matched} looked at, ${total.done} done, ${total.keptCount} stay …\n`);
    total.stopped = after !== null && context.signal.aborted;
    if (total.stopped) break;
  }
  return total;
}

function report(
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
    return context.stdout(`${JSON.stringify(answer)}\n`);
  }
  context.stdout(
    `${total.done} of ${matched} ${things} ${dryRun ? "would be " : ""}${done}, ${keptCount} stay\n`,
  );
  const reasons = [...why].sort(([, a], [, b]) => b - a).slice(0, 20);
  if (reasons.length > 0)
    context.stdout(table([["because", "count"], ...reasons.map(([text, n]) => [text, String(n)])]));
  if (stopped) context.stderr("interrupted: the rest was not looked at\n");
}

async function listAll<Row extends { id: number }>(
  desk: Desk<Row, unknown>,
  filter: Filter,
  limit: number,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (;;) {
    const wanted = Math.min(pageMax, limit - rows.length);
    const page = await desk.list({ ...filter, after: rows.at(-1)?.id ?? 0, limit: wanted });
    rows.push(...page);
    if (page.length < wanted || rows.length >= limit) return rows;
  }
}

function selectionOf(options: Options) {
  const filter = filterOf(options);
  const chosen = options["ids"] as readonly number[] | undefined;
  const isFiltered = Object.keys(filter).length > 0 || chosen !== undefined;
  if (!isFiltered && options["all"] !== true) throw new UsageError("say which: --ids, a filter, or --all");
  return {
    ...filter,
    ...(chosen && { ids: chosen }),
    ...(!isFiltered && { all: true }),
    dry_run: options["dryRun"] === true,
  };
}

function filterOf(options: Options): Filter {
  const names = ["sink", "reason", ...Object.keys(filters)];
  return Object.fromEntries(
    names.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]),
  );
}

function whichOf(options: Options): WhichGateway {
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  return { gateway: text(options["gateway"]), tokenFile: text(options["tokenFile"]) };
}

/** Name and value, one a line. */
function lines(found: object): string {
  const entries = Object.entries(found);
  const width = Math.max(...entries.map(([key]) => key.length));
  return entries
    .map(([key, value]) => `${key.padEnd(width)}  ${cell(value as string | number | null)}\n`)
    .join("");
}

function cell(value: string | number | null): string {
  return value === null ? "-" : String(value);
}

function ids(): Option<readonly number[] | undefined> {
  const schema = z
    .string()
    .regex(/^\d{1,15}(,\d{1,15}){0,999}$/, "must be ids with commas between them, at most 1000")
    .transform((text) => text.split(",").map(Number))
    .optional();
  return { flags: "--ids <list>", help: "These, by id, with commas between them", schema };
}

const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** As ISO 8601. */
function moment(flags: string, help: string): Option<string | undefined> {
  const schema = z
    .string()
    .transform((text, context) => {
      const [, count, unit = ""] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
      const ms = count === undefined ? Date.parse(text) : Date.now() - Number(count) * (units[unit] ?? 0);
      if (!Number.isNaN(ms)) return new Date(ms).toISOString();
      context.addIssue({
        code: "custom",
        message: "must be a time such as 2026-11-21T08:00:00Z, or 90m, 24h, 7d ago",
      });
      return z.NEVER;
    })
    .optional();
  return { flags, help, schema };
}
