/**
 * The postgres sink: the rows of a batch and the position they came from, in one transaction.
 *
 * An advisory lock on the epoch comes first: it waits out a transaction whose answer was lost, of this process or of
 * one that was killed, so that the position read after it is final. If PostgreSQL refuses a batch, whatever the SQLSTATE, a
 * trial finds the entries that it refuses (postgres/sieve.ts); what that proves is stored at once, and the rest is an outage.
 * So each transaction has its own deadline, and what is done stays done.
 */
import { systemClock } from "../../core/clock.ts";
import type { Entry } from "../../core/entry.ts";
import { arrayText, serverError, type Postgres, type Rows, type Transaction } from "./client.ts";
import { whenTablesExist } from "../schema.ts";
import {
  advanced,
  baseOf,
  meant,
  outcomeOf,
  refusedOf,
  replacedBy,
  standingOf,
  stillWanted,
  type PositionRow,
  type Standing,
} from "../../core/position.ts";
import { rehearse } from "./rehearsal.ts";
import { Outage } from "../../core/outage.ts";
import { createSieve, trialsMax } from "./sieve.ts";
import { lock, lockedStanding, openedStanding, openingOf, putPosition } from "./standing.ts";
import { asOutage, isPassing } from "./words.ts";
import { writeByCopy, writeByInsert, type Write } from "./write.ts";
import { timeText } from "../rows.ts";
import type { Delivery, Outcome, Position, Sink } from "../../core/sink.ts";

export interface PostgresSinkOptions {
  /** Shared with the registry or not; closing it is the caller's. */
  readonly db: Postgres;
  readonly gatewayId: string;
}

const entriesMax = 5000;
const batchBytesMax = 8 * 1024 * 1024;
/** Transactions of one delivery at most: the batch, the trials, and what they proved by COPY and by INSERT. */
const transactionsMax = trialsMax + 3;

const name = "postgres";
const isMeant = (entry: Entry) => meant(name, entry);

export function postgresSink({ db, gatewayId }: PostgresSinkOptions): Sink {
  const { timeoutMs, clock = systemClock } = db.options;
  const tablesExist = whenTablesExist(db);
  /** Epoch → the last seq that we know to be committed. */
  const known = new Map<string, number>();
  const sieve = createSieve({ db, isMeant, batchMax: () => batchMax, batchBytesMax });
  let write = writeByCopy;
  let batchMax = entriesMax;

  async function positions(epochs: readonly string[]): Promise<Position[]> {
    try {
      return await readPositions(epochs);
    } catch (error) {
      throw asOutage(error);
    }
  }

  async function readPositions(epochs: readonly string[]): Promise<Position[]> {
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
    const { before, entries } = delivery;
    const startMs = clock.monoMs();
    let answers = true;
    try {
      await tablesExist();
      const standing = await settle(delivery);
      return outcomeOf(before, standing.totals, entries.length);
    } catch (error) {
      answers = error instanceof Outage || serverError(error) !== undefined;
      throw asOutage(error);
    } finally {
      batchMax = nextBatch(entries.length, answers, clock.monoMs() - startMs);
    }
  }

  /** Halves a batch that brought no answer, or none in time: the line may be too slow for so many. */
  function nextBatch(tried: number, answers: boolean, tookMs: number): number {
    if (!answers) return Math.max(1, tried >> 1);
    return tookMs < timeoutMs / 3 ? Math.min(2 * batchMax, entriesMax) : batchMax;
  }

  async function settle(delivery: Delivery): Promise<Standing> {
    try {
      return await store(delivery, delivery.entries, delivery.aside, write);
    } catch (error) {
      if (!isOfStatement(error)) throw error;
      return isolate(delivery, error);
    }
  }

  /** Finds the entries that are refused, and settles what can be. @throws (an outage) if that is not all */
  async function isolate(delivery: Delivery, error: unknown): Promise<Standing> {
    const { entries, aside } = delivery;
    const { count, refusals, held } = await sieve.judge(delivery);
    if (count > 0) {
      const settled = new Map([...aside, ...refusals]);
      const standing = await storeProven(delivery, entries.slice(0, count), settled);
      if (count === entries.length) return standing;
    }
    throw held ? sieve.outageOf(held) : error;
  }

  /** Stores what a trial has proved; by INSERT if COPY still refuses what the trial, which inserts, has taken. */
  async function storeProven(
    delivery: Delivery,
    entries: readonly Entry[],
    refusals: ReadonlyMap<number, string>,
  ): Promise<Standing> {
    try {
      return await store(delivery, entries, refusals, write);
    } catch (error) {
      if (write === writeByInsert || !isOfStatement(error) || isPassing(serverError(error)?.code ?? ""))
        throw error;
    }
    const standing = await store(delivery, entries, refusals, writeByInsert);
    write = writeByInsert;
    return standing;
  }

  /** One transaction: these entries, but for the refused ones, which become dead letters, and the position after them. */
  async function store(
    delivery: Delivery,
    entries: readonly Entry[],
    refusals: ReadonlyMap<number, string>,
    writeRows: Write,
  ): Promise<Standing> {
    if (delivery.signal.aborted) throw new Error("the delivery was called off");
    const first = entries[0]?.seq ?? 0;
    const last = entries.at(-1)?.seq ?? 0;
    const { epoch } = delivery;
    const work = async (tx: Transaction, opened: readonly Rows[]) => {
      const base = baseOf(await openedStanding(tx, epoch, opened), known.get(epoch), delivery, first);
      const fresh = entries.filter((entry) => entry.seq > base.seq);
      const refused = refusedOf(name, fresh, refusals);
      const wanted = await takePlaces(
        tx,
        fresh.filter((entry) => isMeant(entry) && !refusals.has(entry.seq)),
      );
      const delivered = wanted.length;
      const ignored = fresh.length - delivered - refused.length;
      const after = advanced(
        base,
        { delivered, ignored, refused: refused.length },
        last,
        delivery.before.skipped,
      );
      outcomeOf(delivery.before, after.totals, last - (delivery.entries[0]?.seq ?? last) + 1);
      if (base.seq >= last) return base;
      await writeRows(tx, wanted);
      await putPosition(tx, gatewayId, epoch, after);
      if (refused.length > 0) delivery.refuse(refused);
      return after;
    };
    const standing = await db.transaction("writing a batch", work, openingOf(epoch));
    known.set(epoch, standing.seq);
    sieve.settled(standing.seq);
    return standing;
  }

  return {
    name,
    get batchMax() {
      return batchMax;
    },
    batchBytesMax,
    lingerMs: 25,
    deadlineMs: timeoutMs * transactionsMax,
    whenFull: "hold",
    positions,
    deliver,
    async probe() {
      const server = await db.ask("probing", async (tx) => {
        const [row] = await tx<{ version: string; encoding: string }[]>`
          select current_setting('server_version') as version, current_setting('server_encoding') as encoding`;
        return row;
      });
      const start = { seq: 0, totals: { delivered: 0, ignored: 0, refused: 0, skipped: 0 } };
      const { problems, remarks } = await rehearse(db, async (tx, epoch) => {
        await lockedStanding(tx, epoch);
        await putPosition(tx, gatewayId, epoch, start);
      });
      if (problems.length > 0)
        throw new Error(
          `PostgreSQL at ${db.place}: ${problems.join("; ")}: mend the tables, or grant the role of DATABASE_URL its rights (README, PostgreSQL)`,
        );
      const encoding = server?.encoding ?? "";
      if (encoding !== "UTF8") remarks.push(`its encoding is ${encoding}: what that cannot hold is refused`);
      return [`PostgreSQL ${server?.version} at ${db.place}`, ...remarks].join("; ");
    },
    close: () => Promise.resolve(),
  };
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

/** The server refuses a statement and lives on; anything else is no news of an entry. */
function isOfStatement(error: unknown): boolean {
  return serverError(error)?.severity === "ERROR";
}
