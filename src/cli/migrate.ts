/** `sluice migrate`: brings the tables to what this version wants. May be run at any time and as often as one likes. */
import { join } from "node:path";
import type { Config } from "../config.ts";
import { makeDataDir } from "../config/host.ts";
import { openPostgres } from "../core/postgres.ts";
import { migratePostgres, migrateSqlite } from "../core/schema.ts";
import { openSqlite } from "../core/sqlite.ts";
import { command, toggle } from "./command.ts";
import { configured } from "./configuration.ts";

export const migrate = command({
  name: "migrate",
  summary: "Create or complete the tables in PostgreSQL (DATABASE_URL) or the local store",
  options: { json: toggle("--json", "Print what was done as JSON") },
  async run(context, { options }) {
    const { config } = configured(context);
    const { where, done } = await migrateStore(config);
    if (options.json) context.stdout(`${JSON.stringify({ store: where, done })}\n`);
    else {
      for (const step of done) context.stdout(`${step}\n`);
      context.stdout(done.length === 0 ? `${where}: everything was there\n` : `${where}: done\n`);
    }
    return 0;
  },
});

async function migrateStore({ general, postgres }: Config): Promise<{ where: string; done: string[] }> {
  if (postgres.url === undefined) {
    makeDataDir(general.dataDir);
    const path = join(general.dataDir, "local.db");
    const local = openSqlite(path);
    try {
      return { where: path, done: migrateSqlite(local) };
    } finally {
      local.close();
    }
  }
  const db = openPostgres({ ...postgres, url: postgres.url });
  try {
    return { where: db.place, done: await migratePostgres(db) };
  } finally {
    await db.close();
  }
}
