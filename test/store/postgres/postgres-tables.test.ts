/** What only the postgres sink has to survive. The rest is in test/contract. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import postgres from "postgres";
import { explain } from "../../../src/core/log/log.ts";
import { openPostgres, type Postgres } from "../../../src/store/postgres/postgres-client.ts";
import { postgresSink } from "../../kit/stores.ts";
import type { Delivery, Outcome, Refusal, Sink } from "../../../src/core/sink.ts";
import { deferred, delivery, event, events, noTotals, reject } from "../../contract/entries.ts";
import { postgresAvailable, sharedPostgres, startPostgres } from "../../kit/postgres.ts";
import { startProxy, type Proxy } from "../../kit/proxy.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();
const poison = { payload: '{"metrics":{"n":1,"text":"\\u0000"}}' };

describe.skipIf(unavailable !== "")(`the postgres sink against a real server ${unavailable}`, () => {
  let url: string;
  let proxy: Proxy;
  let admin: postgres.Sql;
  let db: Postgres;
  let sink: Sink;

  beforeEach(async () => {
    const server = await sharedPostgres();
    url = await server.createDatabase();
    proxy = await startProxy({ port: server.port });
    admin = postgres(url, { max: 3, fetch_types: false, onnotice: () => {} });
    const through = url.replace(`:${server.port}/`, `:${proxy.port}/`);
    db = openPostgres({ url: through, poolMax: 2, timeoutMs: 6000 });
    sink = postgresSink(db);
  });

  afterEach(async () => {
    await db.close();
    await proxy.stop();
    await admin.end({ timeout: 5 });
  });

  async function storedSeqs(): Promise<number[]> {
    const rows = await admin<{ n: number }[]>`
      select (payload -> 'metrics' ->> 'n')::int as n from raw_events where accepted order by n`;
    return rows.map((row) => row.n);
  }

  const tried = (d: ReturnType<typeof delivery>) => sink.deliver(d).catch((error: unknown) => explain(error));

  test("rows are as existing deployments have them, to the microsecond and the last digit", async () => {
    const digits = '{"site_id":"lab-1","metrics":{"n":1,"a":1.0,"b":1152921504606846977}}';
    const entries = [
      event(1, { payload: digits }),
      reject(2, { mirror: true }),
      reject(3, { payload: "" }),
      deferred(4),
    ];
    expect(await sink.deliver(delivery(entries))).toEqual({ delivered: 3, ignored: 1, refused: 0 });
    const [raw, mirrored] = await admin`
      select ingested_at::text, event_ts at time zone 'UTC' as at, event_ts::text, topic, tenant_id, site_id, device_id, msg_type,
        accepted, payload::text from raw_events order by id`;
    expect(raw).toMatchObject({
      topic: "tenant/acme/device/d1/telemetry",
      tenant_id: "acme",
      site_id: "lab-1",
      device_id: "d1",
      msg_type: "telemetry",
      accepted: true,
    });
    expect(raw?.["payload"]).toContain('"a": 1.0, "b": 1152921504606846977');
    expect(raw?.["event_ts"]).toContain("40.001123");
    expect(raw?.["ingested_at"]).toContain("40.001");
    expect(mirrored?.["accepted"]).toBe(false);
    expect(JSON.parse(String(mirrored?.["payload"]))).toMatchObject({
      _rejected: true,
      _reject_reason: "TOKEN_INVALID",
    });
    const kept = await admin`select reason, payload ->> 'seq' as seq from quarantine_events`;
    expect(kept.map((row) => ({ ...row }))).toEqual([{ reason: "TOKEN_INVALID", seq: "2" }]);
    const counts = await admin`select tenant_id, reason, cnt from quarantine_counters_minute`;
    expect(counts.map((row) => ({ ...row }))).toEqual([
      { tenant_id: "acme", reason: "TOKEN_INVALID", cnt: "2" },
    ]);
  });

  test.each([
    { of: "events", entries: events(2, 9), wanted: 1 },
    {
      of: "events and rejects of every kind",
      entries: [event(2), reject(3), reject(4, { mirror: true }), reject(5, { payload: "" })],
      wanted: 1,
    },
    { of: "what has no row", entries: [deferred(2)], wanted: 1 },
    {
      of: "an event in place of a quarantined row, which is removed first",
      entries: [event(2, { returned: { target: null, quarantineId: 7 } })],
      wanted: 3,
    },
    {
      of: "an event and one that is set aside, which is on the disk before the commit",
      entries: [event(2), event(3)],
      aside: [3],
      wanted: 3,
    },
  ])("$wanted round trip(s) for a batch of $of", async ({ entries, aside = [], wanted }) => {
    await sink.deliver(delivery([event(1)]));
    let trips = 0;
    let isAnswered = true;
    proxy.onAnswer(() => void (isAnswered = true));
    proxy.onSend(() => {
      if (isAnswered) trips++;
      isAnswered = false;
    });
    const before = { ...noTotals, delivered: 1 };
    await sink.deliver(delivery(entries, { before, aside: new Map(aside.map((seq) => [seq, "set aside"])) }));
    expect(trips).toBe(wanted);
  });

  test.each([
    ["keeps it in silence", "return null", "a trigger or a policy for delete is in the way"],
    ["raises", "raise 'nothing leaves this table'", "nothing leaves this table (P0001)"],
  ])(
    "a replayed message whose row a trigger does not let go is a dead letter, where the trigger %s",
    async (_, does, why) => {
      await sink.deliver(delivery([reject(1)]));
      await admin.unsafe(`create function keep() returns trigger language plpgsql as $$ begin ${does}; end $$;
        create trigger keep before delete on quarantine_events for each row execute function keep()`);
      const before = { ...noTotals, delivered: 1 };
      const { receivedMs } = event(1);
      const replayed = event(2, { receivedMs, returned: { target: null, quarantineId: 1 } });
      const replay = delivery([replayed, event(3)], { before });
      expect(await tried(replay)).toEqual({ delivered: 1, ignored: 0, refused: 1 });
      expect(replay.refused.get(2)).toEndWith(why);
      expect(await storedSeqs()).toEqual([3]);
    },
  );

  const replays = (...seqs: number[]) =>
    seqs.map((seq) => {
      const { receivedMs } = event(seq);
      return event(seq + 10, { receivedMs, returned: { target: null, quarantineId: seq } });
    });

  test.each([
    ["raises", "raise 'nothing leaves this table'", "nothing leaves this table (P0001)"],
    ["keeps it in silence", "return null", "a trigger or a policy for delete is in the way"],
  ])(
    "of many that are replayed only those are dead letters whose rows stay, where a foreign key and a trigger that %s keep one each",
    async (_, does, why) => {
      await sink.deliver(delivery([reject(1), reject(2), reject(3), reject(4)]));
      await admin.unsafe(`create table cases (reject bigint references quarantine_events); insert into cases values (2);
      create function keep() returns trigger language plpgsql as $$ begin ${does}; end $$;
      create trigger keep before delete on quarantine_events for each row when (old.id = 3) execute function keep()`);
      const replay = delivery(replays(1, 2, 3, 4), { before: { ...noTotals, delivered: 4 } });
      expect(await tried(replay)).toEqual({ delivered: 2, ignored: 0, refused: 2 });
      expect([...replay.refused.keys()]).toEqual([12, 13]);
      expect(replay.refused.get(12)).toContain("foreign key");
      expect(replay.refused.get(13)).toEndWith(why);
      expect(await storedSeqs()).toEqual([11, 14]);
    },
  );

  test("a foreign key that is checked at the commit makes a dead letter of the replayed message whose row it keeps, and holds up nothing", async () => {
    await sink.deliver(delivery([reject(1), reject(2)]));
    await admin.unsafe(`create table cases (reject bigint references quarantine_events deferrable initially deferred);
      insert into cases values (1)`);
    const replay = delivery(replays(1, 2), { before: { ...noTotals, delivered: 2 } });
    expect(await tried(replay)).toEqual({ delivered: 1, ignored: 0, refused: 1 });
    expect(replay.refused.get(11)).toContain("foreign key");
    expect(await storedSeqs()).toEqual([12]);
  });

  test("rows that go one by one but not together keep nothing waiting: their messages are dead letters", async () => {
    await sink.deliver(delivery([reject(1), reject(2)]));
    await admin.unsafe(`create function few() returns trigger language plpgsql as $$ begin
        if (select count(*) from gone) > 1 then raise 'one at a time'; end if; return null; end $$;
      create trigger few after delete on quarantine_events referencing old table as gone for each statement execute function few()`);
    const replay = delivery(replays(1, 2), { before: { ...noTotals, delivered: 2 } });
    expect(await tried(replay)).toEqual({ delivered: 0, ignored: 0, refused: 2 });
    expect(replay.refused.get(11)).toEndWith("one at a time (P0001)");
  });

  test("a column that is gone from the position is an error: it was read as a position beyond all that waits, which counted as stored", async () => {
    await sink.deliver(delivery([event(1)]));
    await admin.unsafe("alter table sluice_position rename seq to number");
    await expect(sink.positions?.(["epoch-1"])).rejects.toThrow("(42703)");
  });

  test("counts of a minute add up across batches", async () => {
    await sink.deliver(delivery([reject(1), reject(2, { tenantId: null })]));
    await sink.deliver(delivery([reject(3)], { before: { ...noTotals, delivered: 2 } }));
    const counts = await admin`select tenant_id, cnt from quarantine_counters_minute order by tenant_id`;
    expect(counts.map((row) => [row["tenant_id"], row["cnt"]])).toEqual([
      ["acme", "2"],
      ["unknown", "1"],
    ]);
  });

  test("poison entries are found and refused with PostgreSQL's words, one at each end too", async () => {
    const bad = new Set([1, 2, 37, 64, 100]);
    const entries = events(1, 100).map((e) => (bad.has(e.seq) ? event(e.seq, poison) : e));
    const given = delivery(entries);
    expect(await sink.deliver(given)).toEqual({ delivered: 95, ignored: 0, refused: 5 });
    expect([...given.refused.keys()]).toEqual([...bad]);
    expect(given.refused.get(37)).toContain("22P05");
    expect(given.refused.get(37)).toContain("\\u0000");
    expect(await storedSeqs()).toEqual(
      events(1, 100)
        .map((e) => e.seq)
        .filter((n) => !bad.has(n)),
    );
    expect((await sink.positions?.(["epoch-1"]))?.[0]).toMatchObject({ seq: 100, totals: { refused: 5 } });
  });

  test("a lone poison entry waits, and is refused once an entry behind it passes", async () => {
    const alone = delivery([event(1, poison)]);
    expect(await tried(alone)).toContain("22P05");
    expect(alone.refused.size).toBe(0);
    const behind = delivery([event(1, poison)], { later: (seq) => (seq <= 2 ? [event(2)] : []) });
    expect(await sink.deliver(behind)).toEqual({ delivered: 0, ignored: 0, refused: 1 });
    expect(behind.refused.size).toBe(1);
    expect(await storedSeqs()).toEqual([]);
  });

  test("a table that is fixed between the trial and the search takes all: a proof must pass together with the refusal", async () => {
    await sink.positions?.([]);
    await admin.unsafe(`create sequence calls;
      create function early() returns trigger language plpgsql as $$
        begin if nextval('calls') <= 4 then raise 'too early'; end if; return new; end $$;
      create trigger t before insert on raw_events for each row execute function early()`);
    // The COPY meets it once, the trial with each of three entries.
    const given = delivery(events(1, 3), { later: (seq) => (seq <= 4 ? [event(4)] : []) });
    expect(await sink.deliver(given)).toEqual({ delivered: 3, ignored: 0, refused: 0 });
    expect(given.refused.size).toBe(0);
  });

  test("what an operator sets aside is refused untried, with his words, and the rest is stored", async () => {
    const given = delivery([event(1, poison), event(2), event(3)], {
      aside: new Map([
        [1, "set aside"],
        [3, "set aside"],
      ]),
    });
    expect(await sink.deliver(given)).toEqual({ delivered: 1, ignored: 0, refused: 2 });
    expect([...given.refused]).toEqual([
      [1, "set aside"],
      [3, "set aside"],
    ]);
    expect(await storedSeqs()).toEqual([2]);
  });

  test("when every entry would be refused it is an outage: nothing is given up, and it heals", async () => {
    await sink.positions?.([]);
    await admin`alter table raw_events add constraint closed check (topic = 'none')`;
    for (const entries of [[event(1)], [event(1), deferred(2)], events(1, 9)]) {
      const given = delivery(entries);
      expect(await tried(given)).toContain("closed");
      expect(given.refused.size).toBe(0);
    }
    await admin`alter table raw_events drop constraint closed`;
    expect(await sink.deliver(delivery(events(1, 9)))).toEqual({ delivered: 9, ignored: 0, refused: 0 });
  });

  test("a batch of nothing but poison is an outage too", async () => {
    const given = delivery([event(1, poison), deferred(2), event(3, poison)]);
    expect(await tried(given)).toContain("refuses entry 1, and no entry behind it");
    expect(given.refused.size).toBe(0);
    expect(await sink.positions?.(["epoch-1"])).toEqual([]);
  });

  test("a position that a trigger keeps out stores no row, which would come again, and the check says so", async () => {
    await sink.positions?.([]);
    await admin.unsafe(`create function kept_out() returns trigger language plpgsql as 'begin return null; end';
      create trigger t before insert or update on sluice_position for each row execute function kept_out()`);
    const words = "a trigger, a rule or a policy of sluice_position keeps the position out";
    expect(await tried(delivery(events(1, 3)))).toContain(words);
    expect(await sink.probe().catch(explain)).toContain(words);
    expect(await storedSeqs()).toEqual([]);
    await admin`drop trigger t on sluice_position`;
    expect(await sink.deliver(delivery(events(1, 3)))).toEqual({ delivered: 3, ignored: 0, refused: 0 });
  });

  test("a missing table is an outage, is not created again, and the outage ends when it is back", async () => {
    await sink.deliver(delivery(events(1, 3)));
    await admin`alter table raw_events rename to raw_events_away`;
    const given = delivery(events(4, 6), { before: { ...noTotals, delivered: 3 } });
    expect(await tried(given)).toContain('"raw_events" does not exist');
    expect(given.refused.size).toBe(0);
    await admin`alter table raw_events_away rename to raw_events`;
    expect(await sink.deliver(given)).toEqual({ delivered: 3, ignored: 0, refused: 0 });
    expect(await storedSeqs()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  // The first batch of an epoch is two requests. A later one, whose position is known, is one.
  const kinds = [
    { kind: "the first batch", before: noTotals, begin: () => sink.positions?.([]) },
    {
      kind: "a later batch",
      before: { ...noTotals, delivered: 1 },
      begin: () => sink.deliver(delivery([reject(0, { payload: "" })])),
    },
  ];

  test.each(kinds)(
    "$kind: a lost answer to COMMIT doubles nothing, and the outcome is the one that was lost",
    async ({ before, begin }) => {
      await begin();
      let committed = false;
      proxy.onSend((piece) => {
        committed ||= piece.includes("commit\0");
      });
      proxy.onAnswer((_, connection) => {
        if (!committed) return true;
        connection.cut();
        return false;
      });
      const entries = [event(1), event(2, poison), event(3), deferred(4), event(5)];
      const refused = new Map<number, string>();
      const again = () => ({
        ...delivery(entries, { before }),
        refuse: (refusals: readonly Refusal[]) => {
          for (const { entry, why } of refusals) refused.set(entry.seq, why);
        },
      });
      expect(await sink.deliver(again()).catch(explain)).toBeString();
      committed = false;
      proxy.onSend(() => {});
      proxy.onAnswer(() => {});
      expect(await until(() => sink.deliver(again()))).toEqual({ delivered: 3, ignored: 1, refused: 1 });
      expect([...refused.keys()]).toEqual([2]);
      expect(await storedSeqs()).toEqual([1, 3, 5]);
    },
  );

  test.each(kinds)(
    "$kind: a connection that falls silent in the middle of COPY holds up nobody: the next try terminates its backend",
    async ({ before, begin }) => {
      await begin();
      proxy.onSend((piece) => {
        // This piece still passes, and nothing after it.
        if (piece.includes("copy raw_events")) proxy.mode("blackhole");
      });
      expect(await tried(delivery(events(1, 50), { before }))).toContain("no answer within");
      proxy.onSend(() => {});
      proxy.mode("pass");
      const again = () => sink.deliver(delivery(events(1, 50), { before }));
      expect(await until(again)).toMatchObject({ delivered: 50 });
      expect(await storedSeqs()).toHaveLength(50);
    },
  );

  test.each(kinds)(
    "$kind: a backend that is ended in the middle of a batch leaves nothing of it",
    async ({ before, begin }) => {
      await begin();
      const unlock = await lockRawEvents(url);
      const first = tried(delivery(events(1, 50), { before }));
      await until(async () => {
        const ended = await admin`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'sluice' and wait_event_type = 'Lock'`;
        return ended.length > 0;
      });
      expect(await first).toBeString();
      await unlock();
      expect(await storedSeqs()).toEqual([]);
      const again = () => sink.deliver(delivery(events(1, 50), { before }));
      expect(await until(again)).toMatchObject({ delivered: 50 });
      expect(await storedSeqs()).toHaveLength(50);
    },
  );

  test("a database restored from a backup is noticed, and what it lost is delivered again from its position", async () => {
    await sink.deliver(delivery(events(1, 5)));
    await sink.deliver(delivery(events(6, 10), { before: { ...noTotals, delivered: 5 } }));
    await admin`delete from raw_events where (payload ->> 'seq')::int > 5`;
    await admin`update sluice_position set seq = 5, delivered = 5`;
    const next = delivery(events(11, 12), { before: { ...noTotals, delivered: 10 } });
    expect(await tried(next)).toContain("restored from a backup");
    const [position] = (await sink.positions?.(["epoch-1"])) ?? [];
    expect(position).toEqual({ epoch: "epoch-1", seq: 5, totals: { ...noTotals, delivered: 5 } });
    expect(sink.place).toMatch(/^127\.0\.0\.1:\d+$/);
    await sink.deliver(delivery(events(6, 12), { before: { ...noTotals, delivered: 5 } }));
    expect(await storedSeqs()).toEqual(events(1, 12).map((e) => e.seq));
  });

  test("two gateways that deliver the same batch at the same time store it once, with the same outcome", async () => {
    const other = postgresSink(openPostgres({ url, poolMax: 2, timeoutMs: 20_000 }), "other");
    const batch = [...events(1, 200), deferred(201), reject(202)];
    const outcomes = await Promise.all([sink, other].map((s) => s.deliver(delivery(batch))));
    const expected: Outcome = { delivered: 201, ignored: 1, refused: 0 };
    expect(outcomes).toEqual([expected, expected]);
    expect(await storedSeqs()).toHaveLength(200);
    expect(await admin`select cnt from quarantine_counters_minute`).toMatchObject([{ cnt: "1" }]);
  });

  test("two that go on from the same known position, again and again, store each batch once", async () => {
    const through = openPostgres({ url, poolMax: 2, timeoutMs: 5000 });
    const other = postgresSink(through, "other");
    /** Whose position moved meanwhile asks for it and delivers again, as a drain does. */
    const delivered = async (by: Sink, given: Delivery) => {
      try {
        return await by.deliver(given);
      } catch {
        await by.positions?.([given.epoch]);
        return by.deliver(given);
      }
    };
    let seq = 0;
    for (let round = 1; round <= 15; round++) {
      const before = { ...noTotals, delivered: seq };
      const batch = events(seq + 1, (seq += round));
      const given = [sink, other].map((by) => delivered(by, delivery(batch, { before })));
      for (const outcome of await Promise.all(given)) expect(outcome.delivered).toBe(round);
      // One of them alone: the other's knowledge is old then.
      const alone = event(++seq);
      await delivered(other, delivery([alone], { before: { ...noTotals, delivered: seq - 1 } }));
    }
    expect(await storedSeqs()).toEqual(events(1, seq).map((e) => e.seq));
    await through.close();
  });

  test("a trigger that divides by zero is the row's own fault, not the position's", async () => {
    await sink.deliver(delivery([event(1)]));
    await admin.unsafe(`create function halved() returns trigger language plpgsql as $$
        begin perform 1 / (new.payload ->> 'seq')::int % 5; return new; end $$;
      create trigger t before insert on raw_events for each row execute function halved()`);
    const zero = event(3, { payload: '{"seq":0,"metrics":{"n":3}}' });
    const given = delivery([event(2), zero, event(4)], { before: { ...noTotals, delivered: 1 } });
    expect(await sink.deliver(given)).toEqual({ delivered: 2, ignored: 0, refused: 1 });
    expect(given.refused.get(3)).toContain("22012");
    expect(await storedSeqs()).toEqual([1, 2, 4]);
  });

  test.each([
    ["a sequence that is used up", "alter sequence raw_events_id_seq maxvalue 3", "the type bigint"],
    [
      "an integer whose sequence has gone past it",
      "alter table raw_events alter column id type integer; select setval('raw_events_id_seq', 2147483647)",
      "the type bigint",
    ],
    ["a schema that the role does not see", "alter table raw_events set schema elsewhere", "search_path"],
  ])("%s is named with its remedy", async (_, obstacle, remedy) => {
    await sink.deliver(delivery([event(1)]));
    await admin.unsafe(`create schema if not exists elsewhere; ${obstacle}`);
    const entries = Array.from({ length: 5 }, (_each, i) => event(i + 2));
    const given = delivery(entries, { before: { ...noTotals, delivered: 1 } });
    expect(await sink.deliver(given).then(String, explain)).toContain(remedy);
    expect(given.refused.size).toBe(0);
  });

  test("a batch that waits for a lock says so, and no refused entry is looked for", async () => {
    const impatient = openPostgres({ url, poolMax: 2, timeoutMs: 1000 });
    const waiting = postgresSink(impatient);
    await waiting.deliver(delivery([event(1)]));
    const unlock = await lockRawEvents(url);
    const second = delivery([event(2)], { before: { ...noTotals, delivered: 1 } });
    expect(await waiting.deliver(second).then(String, explain)).toContain("another session holds a lock");
    await unlock();
    await impatient.close();
  });

  test("positions are returned only after a transaction under way has ended", async () => {
    await sink.deliver(delivery([event(1)]));
    const unlock = await lockRawEvents(url);
    const pending = sink.deliver(delivery([event(2)], { before: { ...noTotals, delivered: 1 } }));
    await until(
      async () =>
        (
          await admin`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
        ).length > 0,
    );
    const restarted = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
    const positions = postgresSink(restarted).positions?.(["epoch-1"]);
    await until(
      async () =>
        (
          await admin`select 1 from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`
        ).length > 0,
    );
    await unlock();
    expect((await positions)?.[0]?.seq).toBe(2);
    await pending;
    await restarted.close();
  });

  test("an aborted delivery writes nothing more", async () => {
    const signal = AbortSignal.abort();
    expect(await tried(delivery(events(1, 3), { signal }))).toContain("called off");
    expect(await storedSeqs()).toEqual([]);
  });

  test("without the right to create tables, the error says what to do", async () => {
    await admin`create role guest login`.catch(() => {});
    await admin`revoke create on schema public from public`;
    const guest = openPostgres({ url: url.replace("postgres@", "guest@"), poolMax: 2, timeoutMs: 6000 });
    const error = await postgresSink(guest)
      .deliver(delivery(events(1, 1)))
      .catch(explain);
    expect(error).toContain("`sluice migrate`");
    await guest.close();
  });
});

describe.skipIf(unavailable !== "")(`the postgres sink and crashes of the server ${unavailable}`, () => {
  test("every batch is stored once across a backend killed with -9, a restart and a crash of the server", async () => {
    const server = await startPostgres({ fsync: true });
    const url = await server.createDatabase();
    const db = openPostgres({ url, poolMax: 2, timeoutMs: 20_000 });
    const sink = postgresSink(db);
    let seq = 0;
    const one = async () => {
      const batch = events(seq + 1, seq + 500);
      // As long as a recovery that makes every file durable may take.
      await until(() => sink.deliver(delivery(batch, { before: { ...noTotals, delivered: seq } })), 120_000);
      seq += 500;
    };
    await one();
    const harm = [() => killBackend(url), server.restart, () => server.kill9().then(server.start)];
    for (const doHarm of harm) {
      const done = doHarm();
      await one();
      await one();
      await done;
      await one();
    }
    const admin = postgres(url, { max: 1, fetch_types: false });
    const [row] =
      await admin`select count(*)::int as n, count(distinct payload ->> 'seq')::int as d from raw_events`;
    expect({ ...row }).toEqual({ n: seq, d: seq });
    await admin.end({ timeout: 5 });
    await db.close();
    await server.stop();
  }, 300_000);
});

/** Holds up every COPY until the returned function is called. */
async function lockRawEvents(url: string): Promise<() => Promise<void>> {
  const blocker = postgres(url, { max: 1, fetch_types: false });
  await blocker`begin`;
  await blocker`lock table raw_events in access exclusive mode`;
  return () => blocker.end({ timeout: 5 });
}

/** The operating system's kill -9, which makes the server restart all its backends. */
async function killBackend(url: string): Promise<void> {
  const admin = postgres(url, { max: 1, fetch_types: false });
  const rows = await admin<
    { pid: number }[]
  >`select pid from pg_stat_activity where application_name = 'sluice'`;
  for (const { pid } of rows) process.kill(pid, "SIGKILL");
  await admin.end({ timeout: 1 });
}
