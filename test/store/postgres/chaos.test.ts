/** Lines that are cut and tables that are altered at random while entries are refused: every other entry is stored once, and every refused one is one dead letter. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../../src/simulator/random.ts";
import { anEntry } from "../../kit/spool.ts";
import { openTables } from "../../kit/tables.ts";
import { postgresAvailable } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
const seed = Number(process.env["FUZZ_SEED"] ?? 6);

type Harm = readonly [harm: string, fix: string];
const harms: readonly [Harm, ...Harm[]] = [
  ["select 1", "select 1"],
  ["alter table raw_events rename to away", "alter table away rename to raw_events"],
  ["revoke insert on raw_events from sluice", "grant insert on raw_events to sluice"],
  [
    "alter table raw_events add column extra int not null default 0; alter table raw_events alter column extra drop default",
    "alter table raw_events drop column extra",
  ],
];

describe.skipIf(unavailable !== "")(`refusals, cut lines and altered tables ${unavailable}`, () => {
  test(`of seed ${seed}`, async () => {
    const random = seededRandom(seed);
    const site = await openTables({ timeoutMs: 1_000 });
    await site.run([
      "alter table raw_events add check (msg_type in ('telemetry', 'heartbeat'))",
      `create function no_site() returns trigger language plpgsql as $$
       begin if new.site_id = 'none' then raise exception 'no such site'; end if; return new; end $$`,
      "create constraint trigger t after insert on raw_events deferrable initially deferred for each row execute function no_site()",
    ]);
    const bad: number[] = [];
    let n = 0;
    const some = () =>
      Array.from({ length: random.whole(1, 60) }, () => {
        const payload = `{"n":${++n}}`;
        const kind = random.whole(1, 12);
        if (kind < 3) bad.push(n);
        if (kind === 1) return anEntry({ payload, msgType: "odd" });
        return anEntry({ payload, siteId: kind === 2 ? "none" : "lab" });
      });
    site.drain.start();
    for (let round = 0; round < 25; round++) {
      site.put(some());
      await Bun.sleep(random.whole(0, 60));
      if (random.whole(1, 3) === 1) site.proxy.cut();
      // The table, or the right to it, is missing for a moment: no entry is at fault.
      const [harm, fix] = random.pick(harms);
      await site.run([harm]);
      await Bun.sleep(random.whole(0, 60));
      await site.run([fix]);
    }
    site.put([anEntry({ payload: `{"n":${++n}}` })]);
    await until(() => site.drain.stats().waiting === 0, 40_000);
    const letters = site.letters().map(({ entry }) => (JSON.parse(entry.payload) as { n: number }).n);
    expect(letters).toEqual(bad);
    expect(await site.stored()).toBe(n - bad.length);
    expect(site.drain.stats()).toMatchObject({ delivered: n - bad.length, refused: bad.length });
    await site.close();
  });
});
