/** The options of a review queue's commands, and what they select. */
import { z } from "zod";
import type { Filter } from "../../admin/review/review-queue.ts";
import { moment, option, string, toggle, UsageError } from "../command.ts";
import type { WhichGateway } from "../which-gateway.ts";

/** The options as they were read; which ones exist depends on the command. */
export type Options = Readonly<Record<string, unknown>>;

export const filters = {
  tenant: string("--tenant <id>", "Only of this tenant"),
  device: string("--device <id>", "Only of this device"),
  since: moment("--since <time>", "Only from this time on"),
  until: moment("--until <time>", "Only before this time"),
};
export const selecting = {
  ids: option("--ids <list>", "Only these ids, separated by commas", () =>
    z
      .string()
      .regex(/^\d{1,15}(,\d{1,15}){0,999}$/, "must be ids separated by commas, at most 1000")
      .transform((text) => text.split(",").map(Number))
      .optional(),
  ),
  all: toggle("--all", "All of them"),
  dryRun: toggle("--dry-run", "Change nothing; only say what would be done"),
};

export function selectionOf(options: Options) {
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

export function filterOf(options: Options): Filter {
  const names = ["sink", "reason", ...Object.keys(filters)];
  return Object.fromEntries(
    names.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]),
  );
}

export function whichOf(options: Options): WhichGateway {
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  return { gateway: text(options["gateway"]), tokenFile: text(options["tokenFile"]) };
}
