/**
 * Whatever makes PostgreSQL refuse one entry, that entry alone becomes a dead letter and the others are stored, within a bounded
 * number of transactions; whatever makes it refuse all of them is an alarm, and nothing is given up. Each row of the tables
 * is a way to refuse, with a real server, a drain and a spool.
 */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Entry } from "../../../src/core/entry.ts";
import { anEntry } from "../../kit/spool.ts";
import { openTables, type OpenTables } from "../../kit/tables.ts";
import { postgresAvailable } from "../../kit/postgres.ts";
import { until } from "../../kit/until.ts";

setDefaultTimeout(60_000);

const unavailable = postgresAvailable();

interface Way {
  readonly name: string;
  /** As the superuser, after the tables were made. */
  readonly sql: readonly string[];
  readonly bad: Partial<Entry>;
  /** The code in the dead letter. */
  readonly code: string;
}

const raise = (name: string, condition: string, code = "P0001") => `
  create function ${name}() returns trigger language plpgsql as $$
  begin if ${condition} then raise exception 'not this one' using errcode = '${code}'; end if; return new; end $$`;
const numberedTables = ["raw_events", "quarantine_events"];
const odd = { msgType: "odd" };
/** What PostgreSQL cannot compress. */
const long = Buffer.from(crypto.getRandomValues(new Uint8Array(9_000))).toString("hex");

const ways: readonly Way[] = [
  {
    name: "a CHECK",
    sql: ["alter table raw_events add check (msg_type in ('telemetry', 'heartbeat'))"],
    bad: odd,
    code: "23514",
  },
  {
    name: "an enum column",
    sql: [
      "create type kind as enum ('telemetry')",
      "alter table raw_events alter column msg_type type kind using msg_type::kind",
    ],
    bad: odd,
    code: "22P02",
  },
  {
    name: "a foreign key to a device that was removed",
    sql: [
      "create table known (device_id text primary key)",
      "insert into known values ('dev-0001')",
      "alter table raw_events add foreign key (device_id) references known",
    ],
    bad: { deviceId: "gone" },
    code: "23503",
  },
  {
    name: "a deferred foreign key",
    sql: [
      "create table known (device_id text primary key)",
      "insert into known values ('dev-0001')",
      "alter table raw_events add foreign key (device_id) references known initially deferred",
    ],
    bad: { deviceId: "gone" },
    code: "23503",
  },
  {
    name: "varchar(8)",
    sql: ["alter table raw_events alter column device_id type varchar(8)"],
    bad: { deviceId: "dev-00000001" },
    code: "22001",
  },
  {
    name: "no partition for its time",
    sql: [
      "alter table raw_events rename to raw_events_before",
      "create table raw_events (like raw_events_before including defaults) partition by range (event_ts)",
      "create table raw_2026 partition of raw_events for values from ('2026-01-01') to ('2027-01-01')",
      "grant insert on raw_events to sluice",
    ],
    bad: { eventMs: 12 },
    code: "23514",
  },
  {
    name: "a unique index",
    sql: [
      "create unique index on raw_events (site_id) where site_id = 'taken'",
      "insert into raw_events (ingested_at, topic, site_id, accepted, payload) values (now(), '', 'taken', false, '{}')",
    ],
    bad: { siteId: "taken" },
    code: "23505",
  },
  {
    name: "an exclusion constraint",
    sql: [
      "alter table raw_events add exclude (site_id with =) where (site_id = 'taken')",
      "insert into raw_events (ingested_at, topic, site_id, accepted, payload) values (now(), '', 'taken', false, '{}')",
    ],
    bad: { siteId: "taken" },
    code: "23P01",
  },
  {
    name: "a domain",
    sql: [
      "create domain word as text check (value !~ ' ')",
      "alter table raw_events alter column site_id type word",
    ],
    bad: { siteId: "two words" },
    code: "23514",
  },
  {
    name: "NOT NULL",
    sql: ["alter table raw_events alter column site_id set not null"],
    bad: { siteId: null },
    code: "23502",
  },
  {
    name: "a generated column",
    sql: [
      "alter table raw_events add column n numeric generated always as ((payload -> 'metrics' ->> 'temp_c')::numeric) stored",
    ],
    bad: { payload: '{"metrics":{"temp_c":"warm"}}' },
    code: "22P02",
  },
  {
    name: "an index that takes no long text",
    sql: ["create index on raw_events (topic)"],
    bad: { topic: long },
    code: "54000",
  },
  {
    name: "jsonb, which has no U+0000",
    sql: [],
    bad: { payload: '{"metrics":{"text":"\\u0000"}}' },
    code: "22P05",
  },
  {
    name: "a row trigger that raises",
    sql: [
      raise("no_odd", "new.msg_type = 'odd'"),
      "create trigger t before insert on raw_events for each row execute function no_odd()",
    ],
    bad: odd,
    code: "P0001",
  },
  {
    name: "a deferred constraint trigger that raises",
    sql: [
      raise("no_odd", "new.msg_type = 'odd'"),
      "create constraint trigger t after insert on raw_events deferrable initially deferred for each row execute function no_odd()",
    ],
    bad: odd,
    code: "P0001",
  },
  {
    name: "a row trigger with ASSERT",
    sql: [
      `create function no_odd() returns trigger language plpgsql as $$ begin assert new.msg_type <> 'odd'; return new; end $$`,
      "create trigger t before insert on raw_events for each row execute function no_odd()",
    ],
    bad: odd,
    code: "P0004",
  },
  {
    name: "row-level security, which COPY does not work with",
    sql: [
      "create policy writing on raw_events for insert with check (msg_type <> 'odd')",
      "create policy reading on raw_events for select using (true)",
      "alter table raw_events enable row level security",
    ],
    bad: odd,
    code: "42501",
  },
  {
    name: "a view with a check option, which COPY does not write",
    sql: [
      "alter table raw_events rename to raw_events_base",
      "create view raw_events as select * from raw_events_base where msg_type <> 'odd' with check option",
      "grant insert, select on raw_events to sluice",
    ],
    bad: odd,
    code: "44000",
  },
];

/** What refuses every row, and how that is fixed. */
const broken: readonly (Omit<Way, "bad"> & { readonly fix: readonly string[]; readonly cure: string })[] = [
  {
    name: "a NOT NULL column that nobody fills",
    sql: [
      "alter table raw_events add column extra int not null default 0",
      "alter table raw_events alter column extra drop default",
    ],
    fix: ["alter table raw_events drop column extra"],
    code: "23502",
    cure: "set-aside",
  },
  {
    name: "a column is missing",
    sql: ["alter table raw_events rename column site_id to site"],
    fix: ["alter table raw_events rename column site to site_id"],
    code: "42703",
    cure: "add the column",
  },
  {
    name: "no right to INSERT",
    sql: ["revoke insert on raw_events from sluice"],
    fix: ["grant insert on raw_events to sluice"],
    code: "42501",
    cure: "grant",
  },
  {
    name: "no right to the sequence",
    sql: ["revoke usage on sequence raw_events_id_seq from sluice"],
    fix: ["grant usage on sequence raw_events_id_seq to sluice"],
    code: "42501",
    cure: "grant",
  },
  {
    name: "the table is missing",
    sql: ["alter table raw_events rename to away"],
    fix: ["alter table away rename to raw_events"],
    code: "42P01",
    cure: "sluice migrate",
  },
  {
    name: "the position cannot be written",
    sql: ["revoke update on sluice_position from sluice"],
    fix: ["grant update on sluice_position to sluice"],
    code: "42501",
    cure: "grant",
  },
  {
    name: "the position cannot be read",
    sql: ["revoke select on sluice_position from sluice"],
    fix: ["grant select on sluice_position to sluice"],
    code: "42501",
    cure: "grant",
  },
  {
    name: "a statement trigger that raises, which comes with COPY's answer",
    sql: [
      raise("never", "true"),
      "create trigger t before insert on raw_events for each statement execute function never()",
    ],
    fix: ["drop trigger t on raw_events"],
    code: "P0001",
    cure: "set-aside",
  },
  {
    name: "a view that takes no rows",
    sql: [
      "alter table raw_events rename to raw_events_base",
      "create view raw_events as select distinct * from raw_events_base",
      "grant insert, select on raw_events to sluice",
    ],
    fix: ["drop view raw_events", "alter table raw_events_base rename to raw_events"],
    code: "55000",
    cure: "set-aside",
  },
  {
    name: "a read-only foreign table",
    sql: [
      "create extension file_fdw",
      "create server files foreign data wrapper file_fdw",
      "alter table raw_events rename to raw_events_base",
      `create foreign table raw_events (ingested_at timestamptz, event_ts timestamptz, topic text, tenant_id text, site_id text,
        device_id text, msg_type text, accepted bool, payload jsonb) server files options (filename '/dev/null')`,
      "grant insert, select on raw_events to sluice",
    ],
    fix: ["drop foreign table raw_events", "alter table raw_events_base rename to raw_events"],
    code: "0A000",
    cure: "set-aside",
  },
  {
    name: "a uuid where devices have names",
    sql: ["alter table raw_events alter column device_id type uuid using null"],
    fix: ["alter table raw_events alter column device_id type text"],
    code: "22P02",
    cure: "set-aside",
  },
];

describe.skipIf(unavailable !== "")(`entries that PostgreSQL refuses ${unavailable}`, () => {
  let site: OpenTables;
  beforeEach(async () => {
    site = await openTables();
  });
  afterEach(() => site.close());

  const good = (n: number) => Array.from({ length: n }, () => anEntry());

  test.each(ways.map((way) => [way.name, way] as const))("%s", async (_, { sql, bad, code }) => {
    await site.run(sql);
    const stored = await site.stored();
    site.drain.start();
    // Alone they wait: the table may be at fault.
    site.put([anEntry(bad), anEntry(bad), anEntry(bad)]);
    await until(() => site.drain.stats().trouble !== null);
    expect(site.letters()).toEqual([]);
    // An entry that passes is the proof, and the refused ones beside it stand alone too.
    site.put([anEntry(bad), ...good(20), anEntry(bad), ...good(20), anEntry(bad)]);
    await site.settled();
    expect(site.letters().map(({ entry }) => entry.seq)).toEqual([1, 2, 3, 4, 25, 46]);
    for (const { why } of site.letters()) {
      expect(why).toContain(code);
      expect(why).not.toContain("Failing row");
    }
    expect((await site.stored()) - stored).toBe(40);
    expect(site.drain.stats()).toMatchObject({ delivered: 40, refused: 6, trouble: null, alarms: [] });
    expect(site.transactions()).toBeLessThan(60);
  });

  test.each(broken.map((way) => [way.name, way] as const))(
    "all of them: %s",
    async (_, { sql, fix, code, cure }) => {
      site.drain.start();
      site.put(good(10));
      await site.settled();
      await site.run(sql);
      site.put(good(30));
      await until(() => site.drain.stats().trouble !== null);
      expect(site.drain.stats().trouble).toContain(code);
      await until(() => site.drain.stats().alarms.length > 0);
      expect(site.drain.stats().alarms[0]?.why).toContain(cure);
      site.put(good(10));
      expect(site.letters()).toEqual([]);
      await site.run(fix);
      await site.settled();
      expect(site.drain.stats()).toMatchObject({ delivered: 50, refused: 0, trouble: null, alarms: [] });
      expect(await site.stored()).toBe(50);
    },
  );

  test("COPY, which is tried again an hour later: somebody may have mended the tables", async () => {
    await site.close();
    let aheadMs = 0;
    site = await openTables({ aheadMs: () => aheadMs });
    await site.run([
      "create sequence statements",
      "grant usage on sequence statements to sluice",
      `create function count_statement() returns trigger language plpgsql as
        $$ begin perform nextval('statements'); return null; end $$`,
      "create trigger t after insert on raw_events for each statement execute function count_statement()",
      "create policy writing on raw_events for insert with check (true)",
      "alter table raw_events enable row level security",
    ]);
    site.drain.start();
    const statementsOf = async (entries: readonly Entry[]) => {
      await site.run(["select setval('statements', 1)"]);
      site.put(entries);
      await site.settled();
      const [row] = await site.read("select last_value::int - 1 as n from statements");
      return row?.["n"];
    };
    await statementsOf(good(10));
    await site.run(["alter table raw_events disable row level security"]);
    expect(await statementsOf(good(10))).toBe(10);
    aheadMs = 3_600_000;
    expect(await statementsOf(good(10))).toBe(1);
    expect(site.drain.stats()).toMatchObject({ delivered: 30, refused: 0, trouble: null });
  });

  test("none of those that were refused until somebody mended the table, while each was tried once more", async () => {
    // A sequence counts on although what asked it is taken back.
    const mended = "nextval('tries') > 45";
    await site.run([
      "create sequence tries",
      "grant usage on sequence tries to sluice",
      raise("ailing", `not (${mended})`),
      "create trigger t before insert on raw_events for each row execute function ailing()",
    ]);
    site.put([anEntry({ kind: "reject", reason: "TOKEN_INVALID", payload: "" }), ...good(30)]);
    site.drain.start();
    await site.settled();
    expect(site.letters()).toEqual([]);
    expect(site.drain.stats()).toMatchObject({ delivered: 31, refused: 0, trouble: null, alarms: [] });
    expect(await site.stored()).toBe(30);
  });

  const midnight = Date.UTC(2026, 10, 28);
  /** The only partition takes what came before. */
  const endsAtMidnight = [
    "alter table raw_events rename to raw_events_before",
    "create table raw_events (like raw_events_before including defaults) partition by range (ingested_at)",
    "create table raw_1 partition of raw_events for values from (minvalue) to ('2026-11-28 00:00Z')",
    "grant select, insert on raw_events to sluice",
  ];

  test("none for whose time of arrival there is no partition yet, though earlier ones pass beside them", async () => {
    await site.run(endsAtMidnight);
    site.put([...good(10), anEntry({ receivedMs: midnight }), anEntry({ receivedMs: midnight + 1 })]);
    site.drain.start();
    const isHeld = () =>
      expect(site.drain.stats().alarms[0]?.why).toContain(
        "has no partition of raw_events for 2026-11-28T00:00:00.000Z",
      );
    await until(() => isHeld());
    expect(site.drain.stats()).toMatchObject({ delivered: 10, refused: 0 });
    await site.run(["create table raw_2 partition of raw_events default"]);
    await site.settled();
    expect(site.letters()).toEqual([]);
    expect(await site.stored()).toBe(12);
  });

  test.each([
    [
      "may not read the table",
      "revoke select on raw_events from sluice",
      "permission denied",
      "grant select on raw_events to sluice",
    ],
    [
      "is bound by a policy",
      "alter table raw_events enable row level security; create policy all_rows on raw_events using (true)",
      "has no partition",
      "",
    ],
  ])("none for whose time of arrival there is no partition where the role %s", async (_, binds, why, fix) => {
    await site.run([...endsAtMidnight, binds]);
    site.put([...good(10), anEntry({ receivedMs: midnight }), anEntry({ receivedMs: midnight + 1 })]);
    site.drain.start();
    const isHeld = (words: string) => expect(site.drain.stats().alarms[0]?.why).toContain(words);
    await until(() => isHeld(why));
    await site.run([fix]);
    await until(() => isHeld("has no partition of raw_events for 2026-11-28T00:00:00.000Z"));
    await site.run(["create table raw_2 partition of raw_events default"]);
    await site.settled();
    expect(site.letters()).toEqual([]);
    expect(await site.stored()).toBe(12);
  });

  test("none for whose time of arrival a partition is missing between others, but those of one dropped for its age", async () => {
    const day = 86_400_000;
    await site.run([
      "alter table raw_events rename to raw_events_before",
      "create table raw_events (like raw_events_before including defaults) partition by range (ingested_at)",
      "create table raw_27 partition of raw_events for values from ('2026-11-27 00:00Z') to ('2026-11-28 00:00Z')",
      "create table raw_29 partition of raw_events for values from ('2026-11-29 00:00Z') to (maxvalue)",
      "grant select, insert on raw_events to sluice",
    ]);
    const at = (receivedMs: number) => anEntry({ receivedMs });
    site.put([at(midnight - 1), at(midnight), at(midnight + day)]);
    site.drain.start();
    const isHeld = () =>
      expect(site.drain.stats().alarms[0]?.why).toContain(
        "has no partition of raw_events for 2026-11-28T00:00:00.000Z",
      );
    await until(() => isHeld());
    await site.run(["create table raw_28 partition of raw_events default"]);
    await site.settled();
    expect(site.letters()).toEqual([]);
    expect(await site.stored()).toBe(3);
    await site.run(["drop table raw_28", "drop table raw_27"]);
    site.put([at(midnight), at(midnight + day)]);
    await site.settled();
    expect(site.letters().map(({ why }) => why.slice(0, 5))).toEqual(["23514"]);
  });

  test("none of those that were tried after the right to the table was taken, although others had passed before", async () => {
    // Of the trial alone, for COPY ends at the bad one: the tenth waits until the right is taken.
    await site.run([
      "alter table raw_events add check (msg_type in ('telemetry', 'heartbeat'))",
      `create function waiting() returns trigger language plpgsql as $$
       begin if new.site_id = 'tenth' then perform pg_advisory_xact_lock(7); end if; return new; end $$`,
      "create trigger t before insert on raw_events for each row execute function waiting()",
      "select pg_advisory_lock(7)",
    ]);
    site.put([anEntry(odd), ...good(9), anEntry({ siteId: "tenth" }), ...good(20)]);
    site.drain.start();
    const waits = "select 1 from pg_locks where locktype = 'advisory' and objid = 7 and not granted";
    await until(async () => expect((await site.read(waits)).length).toBe(1));
    await site.run(["revoke insert on raw_events from sluice"]);
    // It is given back right after the trial, so that what that has found can be committed.
    site.proxy.delay(100);
    site.proxy.onSend((piece) => {
      if (piece.includes("rollback")) void site.run(["grant insert on raw_events to sluice"]);
    });
    await site.run(["select pg_advisory_unlock(7)"]);
    await site.settled();
    expect(site.letters().map(({ why }) => why.slice(0, 5))).toEqual(["23514"]);
    expect(await site.stored()).toBe(30);
  });

  test.each([
    ["", []],
    // So has a table that is made `like other including all`.
    [
      ", and the sequence is not the table's",
      numberedTables.map((table) => `alter sequence ${table}_id_seq owned by none`),
    ],
    [
      ", and transactions are read-only unless they ask",
      [
        "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$",
      ],
    ],
  ])(
    "none whose number is that of another row, as after a restore or at a logical replica%s",
    async (_, sequences) => {
      const reject = () => anEntry({ kind: "reject", reason: "TOKEN_INVALID", payload: "" });
      const rows = "generate_series(1, 50000) as id";
      await site.run([
        ...sequences,
        `insert into raw_events (id, topic, payload) select id, '', '{}' from ${rows}`,
        `insert into quarantine_events (id, topic, payload, reason) select id, '', '{}', '' from ${rows}`,
      ]);
      site.drain.start();
      site.put([reject(), ...good(20), reject(), ...good(20), reject()]);
      await site.settled();
      expect(site.letters()).toEqual([]);
      expect(site.drain.stats()).toMatchObject({ delivered: 43, refused: 0, trouble: null, alarms: [] });
      expect(await site.stored()).toBe(50_040);
      expect(site.transactions()).toBeLessThan(10);
      // The other table alone: that events pass is no proof against a reject.
      await site.run(["select setval('quarantine_events_id_seq', 1, false)"]);
      site.put([reject(), ...good(20), reject(), ...good(20), reject()]);
      await site.settled();
      expect(site.letters()).toEqual([]);
    },
  );

  test("one whose words look like a number that is taken", async () => {
    await site.run(["create unique index on raw_events ((payload->>'words')) where payload ? 'words'"]);
    site.drain.start();
    const words = () => anEntry({ payload: '{"words":"(id)=(1)"}' });
    site.put([words(), ...good(5), words(), ...good(5)]);
    await site.settled();
    expect(site.letters().map(({ entry }) => entry.seq)).toEqual([7]);
  });
});
