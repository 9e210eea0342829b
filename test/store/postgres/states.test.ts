/**
 * Every SQLSTATE class, raised by a trigger: for one row it is that row's fault, for every row it is an outage, and
 * an error that may be over in a moment makes no dead letter if it occurs once.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { anEntry } from "../../kit/spool.ts";
import { openTables, type OpenTables } from "../../kit/tables.ts";
import { postgresAvailable } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();

/** One of each class (postgresql.org/docs/current/errcodes-appendix.html), and those that are special among theirs. */
const classes =
  "03000 08006 09000 0A000 0B000 0F000 0L000 0P000 0Z000 10608 20000 21000 22000 23505 24000 25001 25006 26000 27000 28000 2B000 2D000 2F000 34000 38000 39000 3B000 3D000 3F000 40001 40P01 42501 42601 44000 53100 53200 53300 54000 55000 55P03 57014 57P01 57P03 58030 72000 F0000 HV000 P0001 P0004 XX000 XX001".split(
    " ",
  );
const passing = classes.filter((code) => /^(08|40|53|55P03|57|58|XX)/.test(code));

describe.skipIf(unavailable !== "")(`every class of SQLSTATE ${unavailable}`, () => {
  let site: OpenTables;

  beforeAll(async () => {
    site = await openTables();
    await site.run([
      "create sequence tried",
      "create table raising (every bool, times int)",
      "insert into raising values (false, null)",
      "grant usage on sequence tried to sluice",
      "grant select on raising to sluice",
      // msg_type "raise 22000" names what is to be raised: for that row, for the first times, or for every row.
      `create function raising() returns trigger language plpgsql as $$
       begin
         if (new.msg_type like 'raise%' or (select every from raising))
           and nextval('tried') <= coalesce((select times from raising), 1e9) then
           raise exception 'no' using errcode = coalesce(substring(new.msg_type from 'raise (.*)'), new.site_id);
         end if;
         return new;
       end $$`,
      "create trigger t before insert on raw_events for each row execute function raising()",
    ]);
    site.drain.start();
  });
  afterAll(() => site.close());

  const raise = (code: string) => anEntry({ msgType: `raise ${code}` });
  const good = (n: number) => Array.from({ length: n }, () => anEntry());

  test("one row of each: each stands alone, and the others are stored", async () => {
    const before = await site.stored();
    // A full disk is no row's fault: it would be waited for.
    const ofRows = classes.filter((code) => code !== "53100");
    site.put([...good(20), ...ofRows.flatMap((code) => [raise(code), anEntry()]), ...good(20)]);
    await site.settled();
    expect(site.letters().map(({ why }) => why.slice(0, 5))).toEqual(ofRows);
    expect((await site.stored()) - before).toBe(40 + ofRows.length);
  });

  test.each(passing)("%s once makes no dead letter", async (code) => {
    const before = site.letters().length;
    const stored = await site.stored();
    // One that is refused for good, so that the batch is tried entry by entry; then the COPY and the trial meet the other.
    await site.run(["select setval('tried', 1, false)", "update raising set times = 2"]);
    site.put([...good(3), raise(code), ...good(3)]);
    await site.settled();
    await site.run(["update raising set times = null"]);
    expect(site.letters().length).toBe(before);
    expect((await site.stored()) - stored).toBe(7);
  });

  test.each(["42P01", "42501", "23514", "P0001", "XX000"])(
    "%s for every row that ends in the middle of a trial makes no dead letter",
    async (code) => {
      const before = site.letters().length;
      const stored = await site.stored();
      // The COPY meets it at its first row, the trial at its first three.
      await site.run(["select setval('tried', 1, false)", "update raising set times = 4, every = true"]);
      site.put(Array.from({ length: 7 }, () => anEntry({ siteId: code })));
      await site.settled();
      await site.run(["update raising set times = null, every = false"]);
      expect(site.letters().length).toBe(before);
      expect((await site.stored()) - stored).toBe(7);
    },
  );

  test.each(classes)("%s for every row is an outage: nothing is given up, and it ends", async (code) => {
    const before = site.letters().length;
    const stored = await site.stored();
    await site.run(["update raising set every = true"]);
    site.put(Array.from({ length: 5 }, () => anEntry({ siteId: code })));
    await until(() => site.drain.stats().trouble !== null);
    expect(site.letters().length).toBe(before);
    await site.run(["update raising set every = false"]);
    await site.settled();
    expect(site.letters().length).toBe(before);
    expect((await site.stored()) - stored).toBe(5);
  });
});
