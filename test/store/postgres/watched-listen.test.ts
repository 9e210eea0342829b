/** The watch of a LISTEN over a long time: its clock runs fast, so that a thousand looks take a second. */
import { heapStats } from "bun:jsc";
import { expect, setDefaultTimeout, test } from "bun:test";
import { systemClock, type Clock } from "../../../src/core/clock.ts";
import { openPostgres } from "../../../src/store/postgres/postgres-client.ts";
import { listen } from "../../../src/store/postgres/watched-listen.ts";
import { postgresAvailable, sharedPostgres } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
const looks = 1_000;
const clock: Clock = {
  ...systemClock,
  after: (ms, run) => systemClock.after(ms === 1_000 ? 0 : ms, run),
};

test.skipIf(unavailable !== "")(
  `a look leaves nothing in memory (skipped where: ${unavailable})`,
  async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const options = { url, poolMax: 2, timeoutMs: 20_000, clock };
    const db = openPostgres(options);
    let looked = 0;
    const stop = listen({
      options,
      channel: "somewhere",
      async check(sql) {
        await sql`select 1`;
        looked++;
      },
      async notify(channel, payload) {
        await db.query("notifying", (sql) => sql.notify(channel, payload));
      },
      notified() {},
      lost() {},
      restored() {},
    });
    const promises = async (after: number) => {
      await until(() => looked >= after);
      Bun.gc(true);
      return heapStats().objectTypeCounts["Promise"] ?? 0;
    };
    const before = await promises(looks);
    const grown = (await promises(2 * looks)) - before;
    await stop();
    await db.close();
    expect(grown).toBeLessThan(looks / 2);
  },
);
