/**
 * The postgres sink: the rows of a batch and the position they came from, in one transaction.
 *
 * An advisory lock on the epoch comes first: it waits out a transaction whose answer was lost, of this process or of
 * one that was killed, so that the position read after it is final. What PostgreSQL will never take (SQLSTATE classes 22,
 * 23 and 54) is found by halving, each half a transaction of its own in the order of the spool: however long that takes,
 * what is done stays done. (Savepoints in one transaction lost: a batch with many bad rows would never end in time.)
 * Before an entry is refused, a harmless row of its kind must pass (and is rolled back), and some entry of the batch
 * must have passed: a broken table must not eat the backlog.
 */
import type { Entry } from "../core/entry.ts";
import { arrayText, copy, serverError, type Postgres, type Transaction } from "../core/postgres.ts";
import { whenTablesExist } from "../core/schema.ts";
import { copyQuarantine, copyRaw, quarantineRows, rawRows } from "./copy.ts";
import {
  advanced,
  baseOf,
  meant,
  outcomeOf,
  replacedBy,
  standingOf,
  stillWanted,
  type PositionRow,
  type Standing,
} from "./position.ts";
import { countRejects, timeText } from "./rows.ts";
import type { Delivery, Outcome, Position, Sink } from "./sink.ts";

export interface PostgresSinkOptions {
  /** Shared with the registry or not; closing it is the caller's. */
  readonly db: Postgres;
  readonly gatewayId: string;
}

/** An entry that waits for the next commit: to be refused with these words, or (null) to be ignored. */
interface Pending {
  readonly entry: Entry;
  readonly why: string | null;
}

/** One `deliver` under way. */
interface Run {
  readonly delivery: Delivery;
  pending: Pending[];
  /** Some entry of this delivery has been stored. */
  proven: boolean;
  standing: Standing | undefined;
}

const name = "postgres";
const isMeant = (entry: Entry) => meant(name, entry);

export function postgresSink({ db, gatewayId }: PostgresSinkOptions): Sink {
  const tablesExist = whenTablesExist(db);
  /** Epoch → the last seq that we know to be committed. */
  const known = new Map<string, number>();

  async function positions(epochs: readonly string[]): Promise<Position[]> {
    await tablesExist();
    const rows = await db.transaction("reading the position", async (tx) => {
      await lock(tx, epochs);
      return tx<PositionRow[]>`select * from sluice_position where epoch = any(${arrayText(epochs)}::text[])`;
    });
    known.clear();
    for (const row of rows) known.set(row.epoch, Number(row.seq));
    return rows.map((row) => ({ epoch: row.epoch, ...standingOf(row) }));
  }

  async function deliver(delivery: Delivery): Promise<Outcome> {
    await tablesExist();
    const run: Run = { delivery, pending: [], proven: false, standing: undefined };
    await settle(run, delivery.entries);
    if (run.pending.length > 0) {
      if (!run.proven && delivery.entries.filter(isMeant).length > 1) throw allRefused(run.pending);
      await store(run, []);
    }
    const { before, entries } = delivery;
    return outcomeOf(before, run.standing?.totals ?? before, entries.length);
  }

  /** Stores `entries`; where that is refused, by halves. */
  async function settle(run: Run, entries: readonly Entry[]): Promise<void> {
    if (run.pending.length > 0 && !run.proven && !entries.some(isMeant)) {
      run.pending.push(...entries.map((entry) => ({ entry, why: null })));
      return;
    }
    try {
      await store(run, entries);
    } catch (error) {
      const why = refusalOf(error);
      if (why === undefined) throw error;
      const [only] = entries;
      if (entries.length > 1 || only === undefined) {
        const half = entries.length >> 1;
        await settle(run, entries.slice(0, half));
        await settle(run, entries.slice(half));
      } else {
        await proveTable(only, why);
        run.pending.push({ entry: only, why });
      }
    }
  }

  /** One transaction: what is pending, these entries, and the position after them. */
  async function store(run: Run, entries: readonly Entry[]): Promise<void> {
    const { delivery, pending } = run;
    if (delivery.signal.aborted) throw new Error("the delivery was called off");
    const all = [...pending.map((p) => p.entry), ...entries];
    const first = all[0]?.seq ?? 0;
    const last = all.at(-1)?.seq ?? 0;
    const standing = await db.transaction("writing a batch", async (tx) => {
      const base = baseOf(
        await lockedStanding(tx, delivery.epoch),
        known.get(delivery.epoch),
        delivery,
        first,
      );
      const fresh = entries.filter((entry) => entry.seq > base.seq);
      const wanted = await takePlaces(tx, fresh.filter(isMeant));
      const refused = pending.filter((p) => p.why !== null && p.entry.seq > base.seq);
      const ignored = pending.filter((p) => p.why === null && p.entry.seq > base.seq).length;
      const delivered = wanted.length;
      const settled = { delivered, ignored: ignored + fresh.length - delivered, refused: refused.length };
      const after = advanced(base, settled, last, delivery.before.skipped);
      outcomeOf(delivery.before, after.totals, last - (delivery.entries[0]?.seq ?? last) + 1);
      if (base.seq >= last) return base;
      await write(tx, wanted);
      await putPosition(tx, delivery.epoch, after);
      if (refused.length > 0) delivery.refuse(refused.map(({ entry, why }) => ({ entry, why: why ?? "" })));
      return after;
    });
    known.set(delivery.epoch, standing.seq);
    run.standing = standing;
    run.pending = [];
    run.proven ||= entries.some(isMeant);
  }

  function putPosition(tx: Transaction, epoch: string, { seq, totals }: Standing) {
    const { delivered, ignored, refused, skipped } = totals;
    return tx`insert into sluice_position (epoch, gateway_id, seq, delivered, ignored, refused, skipped, updated_at)
      values (${epoch}, ${gatewayId}, ${seq}, ${delivered}, ${ignored}, ${refused}, ${skipped}, now())
      on conflict (epoch) do update set gateway_id = excluded.gateway_id, seq = excluded.seq,
        delivered = excluded.delivered, ignored = excluded.ignored, refused = excluded.refused,
        skipped = excluded.skipped, updated_at = excluded.updated_at`;
  }

  /** Writes a harmless row of the entry's kind and takes it back. @throws (an outage) where even that is refused */
  async function proveTable(entry: Entry, why: string): Promise<void> {
    const takenBack = new Error("taken back");
    try {
      await db.transaction("trying a harmless row", async (tx) => {
        await write(tx, [harmless(entry)]);
        throw takenBack;
      });
    } catch (cause) {
      if (cause instanceof Error && cause.cause === takenBack) return;
      throw new Error(`nothing at all is taken (an entry was refused with ${why})`, { cause });
    }
  }

  return {
    name,
    batchMax: 5000,
    batchBytesMax: 8 * 1024 * 1024,
    lingerMs: 25,
    deadlineMs: db.options.timeoutMs * 4,
    whenFull: "hold",
    positions,
    deliver,
    async probe() {
      await tablesExist();
      const version = await db.ask("probing", async (tx) => {
        await tx`select 1 from sluice_position limit 1`;
        const [row] = await tx<{ version: string }[]>`select current_setting('server_version') as version`;
        return row?.version;
      });
      return `PostgreSQL ${version} at ${db.place}`;
    },
    close: () => Promise.resolve(),
  };
}

/**
 * One writer an epoch, until the end of the transaction. Who holds the lock and has long been waiting for its client is
 * our own past (abandoned at a deadline, or a host that lost power): it is ended. One at work, as in its COMMIT, is
 * waited for.
 */
async function lock(tx: Transaction, epochs: readonly string[]): Promise<void> {
  const keys = tx`select distinct hashtextextended('sluice:' || epoch, 0) as key
    from unnest(${arrayText(epochs)}::text[]) as epoch order by 1`;
  const [tried] = await tx<{ locked: boolean | null }[]>`
    select bool_and(pg_try_advisory_xact_lock(key)) as locked from (${keys}) as keys`;
  if (tried?.locked !== false) return;
  await tx`select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid) join (${keys}) as keys
      on classid = ((key >> 32) & 4294967295)::oid and objid = (key & 4294967295)::oid
    where locktype = 'advisory' and granted and pid <> pg_backend_pid()
      and wait_event = 'ClientRead' and state_change < clock_timestamp() - interval '1 second'`;
  await tx`select pg_advisory_xact_lock(key) from (${keys}) as keys`;
}

/** A statement of its own after the lock: in read committed it sees what the lock waited for. */
async function lockedStanding(tx: Transaction, epoch: string): Promise<Standing | undefined> {
  await lock(tx, [epoch]);
  const [row] = await tx<PositionRow[]>`select * from sluice_position where epoch = ${epoch}`;
  return row && standingOf(row);
}

/** Removes the rows in whose place entries come. @returns the entries that may be stored */
async function takePlaces(tx: Transaction, entries: readonly Entry[]): Promise<readonly Entry[]> {
  const replaced = replacedBy(entries);
  if (replaced.length === 0) return entries;
  const gone = await tx<{ id: string }[]>`
    delete from quarantine_events as q using unnest(${arrayText(replaced.map((r) => r.id))}::bigint[],
      ${arrayText(replaced.map((r) => timeText(r.receivedMs, 0)))}::timestamptz[]) as r (id, received)
    where q.id = r.id and date_trunc('milliseconds', q.ingested_at) = r.received returning q.id`;
  return stillWanted(
    entries,
    gone.map((row) => Number(row.id)),
  );
}

async function write(tx: Transaction, entries: readonly Entry[]): Promise<void> {
  const raw = rawRows(entries);
  if (raw !== "") await copy(tx, copyRaw, raw);
  const quarantined = quarantineRows(entries);
  if (quarantined !== "") await copy(tx, copyQuarantine, quarantined);
  const counts = countRejects(entries);
  if (counts.length === 0) return;
  await tx`insert into quarantine_counters_minute as c (bucket_minute, tenant_id, reason, cnt)
    select * from unnest(${arrayText(counts.map((c) => c.bucketMinute))}::timestamptz[],
      ${arrayText(counts.map((c) => c.tenantId))}::text[], ${arrayText(counts.map((c) => c.reason))}::text[],
      ${arrayText(counts.map((c) => c.cnt))}::bigint[])
    on conflict (bucket_minute, tenant_id, reason) do update set cnt = c.cnt + excluded.cnt`;
}

/** The entry with its times and its nulls, but text that any table takes. */
function harmless(entry: Entry): Entry {
  const text = (value: string | null) => (value === null ? null : "sluice-probe");
  return {
    ...entry,
    topic: "sluice-probe",
    tenantId: text(entry.tenantId),
    deviceId: text(entry.deviceId),
    msgType: text(entry.msgType),
    siteId: text(entry.siteId),
    reason: text(entry.reason),
    payload: entry.payload === "" ? "" : "{}",
  };
}

/** PostgreSQL's words where it will never take the data: data exception, integrity violation, too complex. Else undefined. */
function refusalOf(error: unknown): string | undefined {
  const server = serverError(error);
  if (server === undefined || !/^(22|23|54)/.test(server.code)) return undefined;
  const detail = server.detail ? ` (${server.detail})` : "";
  return `${server.code} ${server.message}${detail}`.slice(0, 500);
}

function allRefused(pending: readonly Pending[]): Error {
  const why = pending.find((p) => p.why !== null)?.why;
  return new Error(
    `all ${pending.length} entries of a batch were refused, the first with ${why}: see to the tables (none was given up)`,
  );
}
