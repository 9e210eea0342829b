/** PostgreSQL crashes, hangs, refuses, is full, is read-only, loses a table, loses an answer. */
import { until } from "../../kit/until.ts";
import type { ProxiedConnection } from "../../kit/proxy.ts";
import type { Fault } from "../fault.ts";
import { refused } from "../../kit/oracle.ts";
import { backends, becomeStandby, crash, disconnect, promote, signal } from "../postgres-server.ts";
import type { Site, SiteOptions } from "../site.ts";

/** Waits until the postgres sink reports what is wrong: the fault has taken effect. */
async function felt(site: Site): Promise<void> {
  await until(() => isFelt(site), 60_000);
}

async function isFelt(site: Site): Promise<boolean> {
  return (await site.gateway.stats()).sinks["postgres"]?.["trouble"] !== null;
}

/** Waits until it delivers again. */
async function over(site: Site): Promise<void> {
  await until(async () => {
    const sink = (await site.gateway.stats()).sinks["postgres"];
    return sink?.["trouble"] === null && sink.waiting < 1000;
  }, 90_000);
}

/** A fault that begins, takes effect, and ends. */
async function outages(
  site: Site,
  times: number,
  begin: () => Promise<unknown>,
  end: () => Promise<unknown>,
): Promise<number> {
  for (let i = 0; i < times; i++) {
    await begin();
    await felt(site);
    await end();
    await over(site);
  }
  return times;
}

async function configure(site: Site, settings: readonly string[]): Promise<void> {
  await site.sql(async (sql) => {
    for (const setting of settings) await sql.unsafe(`alter system set ${setting}`);
    await sql`select pg_reload_conf()`;
  });
}

const noPoison = "alter table raw_events add constraint no_poison check (payload->>'poison' is null)";

function poison(text: string) {
  return { text: text.replace(/,"n":/, ',"poison":true,"n":'), expected: refused };
}

function everyTenth(note: string): NonNullable<SiteOptions["spoil"]> {
  return (n, text) =>
    n % 10 === 5 ? { text: text.replace(/,"n":/, `,"note":"${note}","n":`), expected: refused } : null;
}

/** 400 messages, some of which PostgreSQL refuses. @returns how many it did */
async function poisoned(site: Site, constraint?: string): Promise<number> {
  if (constraint !== undefined) await site.sql((sql) => sql.unsafe(constraint));
  await site.publish({ count: 400, rate: 400 });
  await until(async () => {
    const { delivered = 0, refused: gone = 0 } = (await site.gateway.stats()).sinks["postgres"] ?? {};
    return delivered + gone >= 400;
  }, 60_000);
  return (await site.gateway.stats()).sinks["postgres"]?.refused ?? 0;
}

function lettersAre(count: number): NonNullable<Fault["also"]> {
  return (_, [stats]) =>
    stats?.spool["dead_letters"] === count ? [] : [`dead letters: ${String(stats?.spool["dead_letters"])}`];
}

export const postgresFaults: readonly Fault[] = [
  {
    name: "postgres-kill9",
    says: "PostgreSQL: `kill -9` of the server, and started again",
    few: 1,
    many: 10,
    run: (site, times) =>
      outages(
        site,
        times,
        () => crash(site.server),
        () => site.server.start(),
      ),
  },
  {
    name: "postgres-restart",
    says: "PostgreSQL: immediate restart (a backend is killed, the server resets itself)",
    few: 3,
    many: 20,
    async run(site, times) {
      for (let i = 0; i < times; i++) {
        await until(async () => {
          const [one] = await backends(site);
          if (one === undefined) return false;
          signal([one], "SIGKILL");
          return true;
        });
        await until(() => site.sql((sql) => sql`select 1`));
        await over(site);
      }
      return times;
    },
  },
  {
    name: "postgres-hangs",
    says: "PostgreSQL: hangs (its backends are stopped), later goes on",
    few: 1,
    many: 5,
    async run(site, times) {
      let stopped: number[] = [];
      return outages(
        site,
        times,
        // A backend that the gateway connects to meanwhile hangs too, as on a server whose every process does.
        () =>
          until(async () => {
            stopped = [...new Set([...stopped, ...(await backends(site))])];
            signal(stopped, "SIGSTOP");
            return isFelt(site);
          }, 60_000),
        () => Promise.resolve(signal(stopped.splice(0), "SIGCONT")),
      );
    },
  },
  {
    name: "postgres-read-only",
    says: "PostgreSQL: read-only (a standby), then promoted",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        () => becomeStandby(site),
        () => promote(site),
      ),
  },
  {
    name: "postgres-out-of-connections",
    says: "PostgreSQL: out of connections",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        async () => {
          await site.sql((sql) => sql`alter role sluice connection limit 0`);
          await disconnect(site);
        },
        () => site.sql((sql) => sql`alter role sluice connection limit -1`),
      ),
  },
  {
    name: "postgres-table-dropped",
    says: "PostgreSQL: `raw_events` dropped, made again by `sluice migrate`",
    few: 1,
    many: 5,
    run: (site, times) =>
      outages(
        site,
        times,
        async () => {
          const aside = `raw_events_${site.aside.length}`;
          await site.sql((sql) =>
            sql.begin(async (tx) => {
              await tx`lock table raw_events in access exclusive mode`;
              await tx.unsafe(`create table ${aside} as select * from raw_events`);
              await tx`drop table raw_events`;
            }),
          );
          site.aside.push(aside);
        },
        () => site.migrate(),
      ),
  },
  {
    name: "postgres-cancelled",
    says: "PostgreSQL: whatever the gateway's backends are at is cancelled, or they are terminated, again and again",
    site: { rate: 1000 },
    few: 60,
    many: 400,
    async run(site, times, random) {
      await site.sql(async (sql) => {
        for (let i = 0; i < times; i++) {
          const ends = i % 2 === 0 ? "pg_cancel_backend" : "pg_terminate_backend";
          await sql.unsafe(`select ${ends}(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'sluice' and state <> 'idle'`);
          await Bun.sleep(random.whole(1, 60));
        }
      });
      await over(site);
      return times;
    },
    also: lettersAre(0),
  },
  {
    name: "postgres-async-commit",
    says: "PostgreSQL: `synchronous_commit = off`, and a crash of the server takes its last commits with it",
    site: { rate: 1000 },
    few: 2,
    many: 10,
    async run(site, times) {
      await configure(site, ["synchronous_commit = off", "wal_writer_delay = '10s'"]);
      for (let i = 0; i < times; i++) {
        await Bun.sleep(1700);
        await crash(site.server);
        await site.server.start();
        await over(site);
      }
      await configure(site, ["synchronous_commit = on", "wal_writer_delay = '200ms'"]);
      return times;
    },
  },
  {
    name: "postgres-commit-answer-lost",
    says: "PostgreSQL: the answer to COMMIT is lost",
    few: 5,
    many: 20,
    async run(site, times) {
      let lost = 0;
      const committing = new WeakSet<ProxiedConnection>();
      site.databaseLine.onSend((piece, connection) => {
        if (lost < times && piece.includes("commit\0")) committing.add(connection);
      });
      site.databaseLine.onAnswer((_, connection) => {
        if (!committing.has(connection)) return true;
        lost++;
        connection.cut();
        return false;
      });
      await until(() => lost >= times, 120_000);
      site.databaseLine.onSend(() => {});
      site.databaseLine.onAnswer(() => {});
      return lost;
    },
  },
  {
    name: "poison",
    says: "Poison: 20 entries in a row that PostgreSQL refuses, on an untuned Mosquitto",
    site: {
      brokerLines: [],
      rate: 0,
      spoil: (n, text) => (n >= 100 && n < 120 ? poison(text) : null),
      faults: {},
    },
    few: 20,
    many: 20,
    run: (site) => poisoned(site, noPoison),
    also: lettersAre(20),
  },
  {
    name: "postgres-constraint",
    says: "PostgreSQL: 20 ms away, and a CHECK that every tenth message breaks, 30 in a row among them",
    site: {
      rate: 0,
      spoil: (n, text) => (n % 10 === 5 || (n >= 100 && n < 130) ? poison(text) : null),
      faults: {},
    },
    few: 67,
    many: 67,
    run(site) {
      site.databaseLine.delay(20);
      return poisoned(site, noPoison);
    },
    also: lettersAre(67),
  },
  {
    name: "postgres-latin1",
    says: "PostgreSQL: a LATIN1 database, and every tenth message has a character that it has not",
    site: { encoding: "LATIN1", rate: 0, spoil: everyTenth("\u6e29"), faults: {} },
    few: 40,
    many: 40,
    run: (site) => poisoned(site),
    also: lettersAre(40),
  },
  {
    name: "postgres-sql-ascii",
    says: "PostgreSQL: a SQL_ASCII database, and every tenth message has an escape that jsonb cannot hold there",
    site: { encoding: "SQL_ASCII", rate: 0, spoil: everyTenth("\\u6e29"), faults: {} },
    few: 40,
    many: 40,
    run: (site) => poisoned(site),
    also: lettersAre(40),
  },
];
