/**
 * `sluice migrate`: brings the tables to the form that this version needs. It may be run at any time, and any number
 * of times.
 */
import { withProgress } from "../progress.ts";
import { counted, number } from "../../core/text/readable.ts";
import type { Config } from "../../config/index.ts";
import { openPostgres } from "../../store/postgres/postgres-client.ts";
import { command, type Context, toggle, UsageError } from "../command.ts";
import { configured } from "../configuration.ts";
import { moveLocal } from "./from-local.ts";
import { openConfiguredStore } from "../configured-store.ts";
import { jsonLine, sayWhere } from "../report.ts";

export const migrate = command({
  name: "migrate",
  summary: "Create or complete the tables in PostgreSQL (DATABASE_URL) or the local store",
  options: {
    fromLocal: toggle(
      "--from-local",
      "Move devices, settings and rows of the local store to PostgreSQL; the gateway must be stopped",
    ),
    indexLatest: toggle(
      "--index-latest",
      "Also create the index by which the latest values are looked up without Redis; it makes each insert dearer",
    ),
    anew: toggle("--anew", "Make empty tables also in place of those that this site had"),
    json: toggle("--json", "Print what was done as JSON"),
  },
  async run(context, { options }) {
    if (options.fromLocal) return fromLocal(context, configured(context).config, options.json);
    const { where, done } = await migrateStore(context, options);
    if (options.json) context.stdout(jsonLine({ store: where, done }));
    else {
      for (const step of done) context.stdout(`${step}\n`);
      context.stdout(done.length === 0 ? `${where}: everything was there already\n` : `${where}: done\n`);
    }
    return 0;
  },
});

async function migrateStore(
  context: Context,
  { anew, indexLatest }: { readonly anew: boolean; readonly indexLatest: boolean },
): Promise<{ where: string; done: string[] }> {
  const store = openConfiguredStore(context, true);
  try {
    const done = await store.migrate(anew);
    if (indexLatest) done.push(...(await store.events.createIndex()));
    return { where: store.place, done };
  } finally {
    await store.close();
  }
}

/** Moves the local store. Exit code 1 if a row stayed behind. */
async function fromLocal(context: Context, config: Config, asJson: boolean): Promise<number> {
  const { url } = config.postgres;
  if (url === undefined) throw new UsageError("--from-local moves to PostgreSQL: set DATABASE_URL");
  const db = openPostgres({ ...config.postgres, url });
  sayWhere(context, `PostgreSQL, ${db.place}`);
  try {
    const { rows, refused, file } = await withProgress(
      context,
      (done) => `${counted(done, "row")} moved`,
      (step) => moveLocal(config, db, step),
    );
    const counts = Object.entries(rows).map(([table, n]) => `${table}: ${number(n)} moved\n`);
    context.stdout(asJson ? jsonLine({ rows, refused, file }) : counts.join(""));
    for (const why of refused) context.stderr(`not moved: ${why}\n`);
    context.stderr(
      `the local store is now ${file}; remove it once you have checked that everything was moved\n`,
    );
    return refused.length === 0 ? 0 : 1;
  } finally {
    await db.close();
  }
}
