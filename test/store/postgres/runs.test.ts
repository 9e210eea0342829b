/**
 * Long runs of refused entries end, even at a distance, in few transactions; and so do a thousand entries of odd
 * characters.
 */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { anEntry } from "../../kit/spool.ts";
import { openTables, type OpenTables, type TableOptions } from "../../kit/tables.ts";
import { postgresAvailable } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
const bad = (n: number) => Array.from({ length: n }, () => anEntry({ msgType: "odd" }));
const good = (n: number) => Array.from({ length: n }, () => anEntry());

describe.skipIf(unavailable !== "")(`runs of entries that PostgreSQL refuses ${unavailable}`, () => {
  let site: OpenTables;
  afterEach(() => site.close());

  async function open(options: TableOptions = {}): Promise<void> {
    site = await openTables(options);
    await site.run(["alter table raw_events add check (msg_type in ('telemetry', 'heartbeat'))"]);
  }

  test("4,990 before 10 good ones, with 20 ms each way", async () => {
    await open({ delayMs: 20 });
    site.put([...bad(4_990), ...good(10)]);
    site.drain.start();
    await site.settled();
    expect(site.drain.stats()).toMatchObject({ delivered: 10, refused: 4_990 });
    // The position, the batch, the trial, what it proved.
    expect(site.transactions()).toBeLessThanOrEqual(4);
  });

  test("more than four batches of nothing else before one good one", async () => {
    await open();
    for (let i = 0; i < 5; i++) site.put(bad(5_000));
    site.put(good(1));
    site.drain.start();
    await site.settled();
    expect(site.drain.stats()).toMatchObject({ delivered: 1, refused: 25_000, trouble: null });
    expect(site.transactions()).toBeLessThan(40);
    expect(await site.stored()).toBe(1);
  });

  test("5,000 without a good one wait, with an alarm, until one comes", async () => {
    await open();
    site.put(bad(5_000));
    site.drain.start();
    await until(() => site.drain.stats().alarms.length > 0);
    expect(site.drain.stats().alarms[0]?.why).toContain("entry 1,");
    expect(site.letters()).toEqual([]);
    // PostgreSQL answers, so the line is not slow.
    expect(site.drain.sink.batchMax).toBe(5_000);
    site.put([...bad(3), ...good(1), ...bad(3)]);
    await site.settled();
    expect(site.drain.stats()).toMatchObject({ delivered: 1, refused: 5_006, trouble: null, alarms: [] });
  });

  test("a line so slow that a whole batch never passes in time gets smaller batches, and whole ones again once it is fast", async () => {
    await open({ timeoutMs: 1_000 });
    site.proxy.throttle(600_000);
    const payload = JSON.stringify({ metrics: { text: "x".repeat(500) } });
    site.put([...Array.from({ length: 2_000 }, () => anEntry({ payload })), ...bad(2), ...good(1)]);
    site.drain.start();
    await site.settled();
    expect(site.drain.stats()).toMatchObject({ delivered: 2_001, refused: 2 });
    site.proxy.throttle(Number.POSITIVE_INFINITY);
    // It grows as long as it is stored in a third of the time, which a busy machine may miss now and then.
    await until(async () => {
      site.put(good(5_000));
      await site.settled();
      return site.drain.sink.batchMax === 5_000;
    }, 30_000);
  });

  test("a lone reject that is refused holds up no event", async () => {
    await open();
    await site.run(["alter table quarantine_counters_minute alter column tenant_id type varchar(4)"]);
    const reject = anEntry({ kind: "reject", reason: "TOKEN_INVALID", tenantId: "a-tenant-of-nobody" });
    site.put([reject, ...good(3)]);
    site.drain.start();
    await site.settled();
    expect(site.drain.stats()).toMatchObject({ delivered: 3, refused: 1 });
    expect(site.letters()[0]?.why).toContain("22001");
  });

  test.each([
    [
      "a column",
      "alter table quarantine_events rename column reason to why",
      "add the column",
      "alter table quarantine_events rename column why to reason",
    ],
    [
      "the primary key",
      "alter table quarantine_counters_minute drop constraint quarantine_counters_minute_pkey",
      "its primary key",
      "alter table quarantine_counters_minute add primary key (bucket_minute, tenant_id, reason)",
    ],
    [
      "what a trigger calls",
      `create function f() returns trigger language plpgsql as $$ begin perform gone(); return new; end $$;
        create trigger t before insert on quarantine_events for each row execute function f()`,
      "what a trigger",
      "drop trigger t on quarantine_events",
    ],
  ])("rejects whose table lacks %s wait, because the table is at fault", async (_, spoil, cure, mend) => {
    await open();
    await site.run([spoil]);
    site.put([...good(3), anEntry({ kind: "reject", reason: "TOKEN_INVALID" }), ...good(3)]);
    site.drain.start();
    await until(() => site.drain.stats().alarms.length > 0);
    expect(site.drain.stats().alarms[0]?.why).toContain(cure);
    expect(site.letters()).toEqual([]);
    await site.run([mend]);
    await site.settled();
    expect(site.drain.stats()).toMatchObject({ delivered: 7, refused: 0 });
  });

  test("refused rows of one table prove nothing about another", async () => {
    await open();
    await site.run(["alter table raw_events add check (false) not valid"]);
    const reject = anEntry({ kind: "reject", reason: "TOKEN_INVALID" });
    site.put([reject, ...good(3), reject]);
    site.drain.start();
    await until(() => site.drain.stats().alarms.length > 0 && site.drain.stats().delivered > 0);
    expect(site.letters()).toEqual([]);
    expect(site.drain.stats()).toMatchObject({ delivered: 1, waiting: 4 });
  });
});

describe.skipIf(unavailable !== "")(`databases of other encodings ${unavailable}`, () => {
  const odd = ["\u6e29\u5ea6", "\u{1f321}", "\u20ac", "\u0142", "a\u0301"];
  const plain = ["temp", "\u00e9t\u00e9"];
  const entryOf = (text: string, escaped: boolean) => {
    const json = JSON.stringify({ metrics: { text } });
    const ascii = json.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    return anEntry({ siteId: escaped ? null : text, payload: escaped ? ascii : json });
  };

  test.each(["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"])("%s", async (encoding) => {
    const site = await openTables({ encoding });
    site.drain.start();
    site.put([...odd, ...plain].flatMap((text) => [entryOf(text, false), anEntry(), entryOf(text, true)]));
    await site.settled();
    const { delivered, refused } = site.drain.stats();
    expect(delivered + refused).toBe(21);
    expect(delivered).toBe(await site.stored());
    expect(delivered).toBeGreaterThanOrEqual(9);
    expect(refused).toBeGreaterThan(0);
    for (const { entry } of site.letters()) expect(entry.payload).not.toBe(anEntry().payload);
    await site.close();
  });
});
