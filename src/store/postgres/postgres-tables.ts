/**
 * The tables in PostgreSQL: the rows of a batch and the position they came from, in one transaction.
 *
 * An advisory lock on the epoch comes first: it waits out a transaction whose answer was lost, of this process or of
 * one that was killed, so that the position read after it is final. If PostgreSQL refuses a batch, whatever the SQLSTATE, a
 * trial finds the entries that it refuses (sieve.ts); what that proves is stored at once, and the rest is an outage.
 * So each transaction has its own deadline, and what is done stays done.
 *
 * A batch is one request, which goes on from the position that this process left and is refused as a whole if it is another. Then, and
 * if something is to be known before the rows are, it is two: BEGIN, lock and position; rows, new position and COMMIT.
 */
import { systemClock } from "../../core/clock.ts";
import { isFor, type Entry } from "../../core/entry.ts";
import { Outage } from "../../core/outage.ts";
import { type PositionRow } from "../../core/position.ts";
import type { Delivery, Position } from "../../core/sink.ts";
import type { Commit, Part, TablesStore } from "../tables-sink.ts";
import { arrayText, literal } from "./literals.ts";
import { send, serverError, type Postgres, type Rows, type Transaction } from "./postgres-client.ts";
import { reuse } from "./copy.ts";
import { whenTablesExist } from "./migrate.ts";
import { isNumberTaken, useUpNumbers } from "./numbering.ts";
import { rehearse } from "./rehearsal.ts";
import { claim, refusingKept } from "./replaced-rows.ts";
import { createSieve, trialsMax } from "./sieve.ts";
import {
  lock,
  lockedPosition,
  openedPosition,
  openingOf,
  positionMove,
  positionMoved,
  positionPut,
  positionQuery,
} from "./postgres-position.ts";
import { asOutage, isOfStatement, isPassing } from "./postgres-words.ts";
import { writeByCopy, writeByInsert } from "./write.ts";

export interface PostgresTablesOptions {
  readonly db: Postgres;
  readonly gatewayId: string;
}

/** Of a backlog. With 2,000 and 10,000 the gateway's CPU per message differed by less than from run to run. */
const entriesMax = 5000;
const batchBytesMax = 8 * 1024 * 1024;
/** Transactions of one delivery at most: the batch, two that use up numbers, the batch again, the trials, and what they proved by COPY and by INSERT; and two for rows that stay. */
const transactionsMax = trialsMax + 8;

/** For so long rows are inserted if COPY was refused and the trial was not; then COPY is tried again, for somebody may have mended the tables. */
const insertForMs = 3_600_000;

/** Below the longest time of a group by default: such a group is a transaction, of shorter ones several are. */
const lingerMs = 20;

const name = "postgres";

export function createPostgresTables({ db, gatewayId }: PostgresTablesOptions): TablesStore {
  const { timeoutMs, clock = systemClock } = db.options;
  const tablesExist = whenTablesExist(db, ["device_registry", "sluice_position"]);
  const isMeant = (entry: Entry) => isFor(name, entry);
  const sieve = createSieve({ db, isMeant, batchMax: () => batchMax, batchBytesMax });
  let insertUntilMs = Number.NEGATIVE_INFINITY;
  let batchMax = entriesMax;
  let { place } = db;

  const write = () => (clock.monoMs() < insertUntilMs ? writeByInsert : writeByCopy);

  async function positions(epochs: readonly string[]): Promise<readonly PositionRow[]> {
    try {
      await tablesExist();
      return await db.transaction("reading the position", async (tx) => {
        await lock(tx, epochs);
        const [server] = await tx<
          { at: string | null }[]
        >`select host(inet_server_addr()) || ':' || inet_server_port() as at`;
        // A socket has no address.
        place = server?.at ?? db.place;
        return tx.unsafe<PositionRow[]>(
          `${positionQuery} where epoch = any(${literal(arrayText(epochs))}::text[])`,
        );
      });
    } catch (error) {
      throw asOutage(error);
    }
  }

  async function deliver(delivery: Delivery, commit: Commit): Promise<Position> {
    const startMs = clock.monoMs();
    let answers = true;
    try {
      await tablesExist();
      return await settle(delivery, refusingKept(db, commit));
    } catch (error) {
      answers = error instanceof Outage || serverError(error) !== undefined;
      throw asOutage(error);
    } finally {
      batchMax = nextBatch(delivery.entries.length, answers, clock.monoMs() - startMs);
    }
  }

  /** Halves a batch to which no answer came in time: the line may be too slow for so many. */
  function nextBatch(tried: number, answers: boolean, tookMs: number): number {
    if (!answers) return Math.max(1, tried >> 1);
    return tookMs < timeoutMs / 3 ? Math.min(2 * batchMax, entriesMax) : batchMax;
  }

  /** The whole batch; if it met a number of a row that is taken, once more behind those. */
  async function commitAll({ entries, aside }: Delivery, commit: Commit): Promise<Position> {
    try {
      return await commit(entries, aside);
    } catch (error) {
      if (!isNumberTaken(error) || !(await useUpNumbers(db))) throw error;
      return commit(entries, aside);
    }
  }

  async function settle(delivery: Delivery, commit: Commit): Promise<Position> {
    try {
      return await commitAll(delivery, commit);
    } catch (error) {
      if (!isOfStatement(error)) throw error;
      return isolate(delivery, commit, error);
    }
  }

  /** Finds the entries that are refused, and settles what can be. @throws (an outage) if that is not all */
  async function isolate(delivery: Delivery, commit: Commit, error: unknown): Promise<Position> {
    const { entries, aside } = delivery;
    const { count, refusals, held } = await sieve.judge(delivery);
    if (count > 0) {
      const commitProven = () => commit(entries.slice(0, count), new Map([...aside, ...refusals]));
      const position = await byCopyOrInsert(commitProven);
      if (count === entries.length) return position;
    }
    throw held ? sieve.outageOf(held) : error;
  }

  /** Commits what a trial has proved; by INSERT if COPY still refuses what the trial, which inserts, has taken. */
  async function byCopyOrInsert(commit: () => Promise<Position>): Promise<Position> {
    try {
      return await commit();
    } catch (error) {
      if (write() === writeByInsert || !isOfStatement(error) || isPassing(serverError(error)?.code ?? ""))
        throw error;
    }
    insertUntilMs = clock.monoMs() + insertForMs;
    try {
      return await commit();
    } catch (error) {
      insertUntilMs = Number.NEGATIVE_INFINITY;
      throw error;
    }
  }

  async function transact(part: Part): Promise<Position> {
    const position = (await move(part)) ?? (await lockAndWrite(part));
    sieve.settled(position.seq);
    return position;
  }

  /** In one request. @returns undefined if that cannot be: the position is another, or something is to be done before the rows */
  async function move({ expected, plan }: Part): Promise<Position | undefined> {
    if (expected === undefined) return undefined;
    const { claims, writes } = plan(expected);
    if (claims.length > 0) return undefined;
    const { after, isStored, rows, refuse } = writes([]);
    if (isStored || refuse) return undefined;
    const { statements, copies } = write()(rows);
    try {
      const moving = positionMove(gatewayId, expected, after);
      await db.request("writing a batch", { statements: [moving, ...statements], copies });
      reuse(copies);
      return after;
    } catch (error) {
      if (serverError(error)?.code === positionMoved) return undefined;
      throw error;
    }
  }

  async function lockAndWrite({ epoch, plan }: Part): Promise<Position> {
    const work = async (tx: Transaction, opened: readonly Rows[]) => {
      const { claims, writes } = plan(await openedPosition(tx, epoch, opened));
      const { after, isStored, rows, refuse } = writes(await claim(tx, claims));
      if (isStored) return after;
      const { statements, copies } = write()(rows);
      const stored = [...statements, positionPut(gatewayId, after)];
      // What is refused is on the disk here before the commit; the transaction then commits with a request more.
      await send(tx, { statements: refuse ? stored : [...stored, "commit"], copies });
      reuse(copies);
      refuse?.();
      return after;
    };
    return db.transaction("writing a batch", work, openingOf(epoch));
  }

  return {
    name,
    get batchMax() {
      return batchMax;
    },
    batchBytesMax,
    lingerMs,
    deadlineMs: timeoutMs * transactionsMax,
    positions,
    get place() {
      return place;
    },
    transact,
    deliver,
    async probe() {
      const server = await db.query("probing", async (tx) => {
        const [row] = await tx<{ version: string; encoding: string }[]>`
          select current_setting('server_version') as version, current_setting('server_encoding') as encoding`;
        return row;
      });
      const totals = { delivered: 0, ignored: 0, refused: 0, skipped: 0 };
      const { problems, remarks } = await rehearse(db, async (tx, epoch) => {
        await lockedPosition(tx, epoch);
        // The first makes a row, each later one changes it, which other policies and triggers may be against.
        for (const seq of [0, 1]) await tx.unsafe(positionPut(gatewayId, { epoch, seq, totals }));
      });
      if (problems.length > 0)
        throw new Error(
          `PostgreSQL at ${db.place}: ${problems.join("; ")}: fix the tables, or grant the role of DATABASE_URL its rights (docs/postgresql.md)`,
        );
      const encoding = server?.encoding ?? "";
      if (encoding !== "UTF8") remarks.push(`its encoding is ${encoding}: what that cannot hold is refused`);
      return [`PostgreSQL ${server?.version} at ${db.place}`, ...remarks].join("; ");
    },
  };
}
