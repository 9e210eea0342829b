/**
 * What the judge makes from generated messages goes into a real PostgreSQL through the sink: nothing may be refused,
 * because that would be a poison.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import postgres from "postgres";
import type { Entry } from "../../src/core/entry.ts";
import { openPostgres, type Postgres } from "../../src/store/postgres/postgres-client.ts";
import { migratePostgres } from "../../src/store/postgres/migrate.ts";
import { seededRandom } from "../../src/simulator/random.ts";
import { postgresSink } from "../kit/stores.ts";
import { delivery, noTotals, plus } from "../contract/entries.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { generate } from "./generate.ts";
import { openSite, startMs } from "./site.ts";

const messages = 20_000;
const seed = Number(process.env["FUZZ_SEED"] ?? 3);
const unavailable = postgresAvailable();

describe.skipIf(unavailable !== "")(`a real PostgreSQL ${unavailable}`, () => {
  let url: string;
  let db: Postgres;
  beforeAll(async () => {
    url = await (await sharedPostgres()).createDatabase();
    db = openPostgres({ url, poolMax: 2, timeoutMs: 60_000 });
    await migratePostgres(db);
  });
  afterAll(() => db.close());

  test(`takes every entry of ${messages} messages of seed ${seed}`, async () => {
    const entries = judged();
    const sink = postgresSink(db);
    const refused: string[] = [];
    let totals = noTotals;
    for (let at = 0; at < entries.length; at += 1_000) {
      const given = delivery(entries.slice(at, at + 1_000), { before: totals });
      totals = plus(totals, await sink.deliver(given));
      for (const [seq, why] of given.refused) refused.push(`${why}: ${JSON.stringify(entries[seq - 1])}`);
    }
    expect(refused).toEqual([]);
    const sql = postgres(url, { max: 1 });
    const [rows] = await sql`select
      (select count(*)::int from raw_events where accepted) as events,
      (select count(*)::int from quarantine_events) as kept,
      (select sum(cnt)::int from quarantine_counters_minute) as rejects`;
    await sql.end();
    const rejects = entries.filter(({ kind }) => kind === "reject");
    expect(rows).toEqual({
      events: entries.filter(({ kind }) => kind === "event").length,
      kept: rejects.filter(({ payload }) => payload !== "").length,
      rejects: rejects.length,
    });
    expect(rows?.["events"]).toBeGreaterThan(messages / 10);
  });
});

function judged(): Entry[] {
  const entries: Entry[] = [];
  const chance = seededRandom(seed);
  const site = openSite(seededRandom(seed + 1), (group) => void entries.push(...group));
  for (let n = 0; n < messages; n++) {
    site.receive(generate(chance, startMs + n).message);
    if (chance.next() < 0.01) site.registryAnswers();
    if (chance.next() < 0.02) site.pass(startMs + n - site.nowMs());
  }
  site.end();
  return entries;
}
