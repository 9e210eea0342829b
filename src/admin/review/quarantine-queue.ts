/**
 * Replays quarantined messages: each is judged again under today's registry, and an accepted one is appended to the spool as an
 * event with its own times, and counted as received and accepted once more.
 *
 * In the tables it is exactly once, whatever crashes and however many gateways share them: the entry names the row that it replaces, and
 * the tables sink removes that row in the transaction that stores the event. If the row is gone, somebody else was first and the entry
 * is ignored. Rejected alternative: to remove the rows from here, before or after the append. That needs a note of what is under way
 * on both sides, and a start that cleans up after a crash. The other sinks know nothing of the row, so none is requeued twice: which ones
 * an earlier run requeued nobody remembers, and until the tables have all of that run nothing is replayed or discarded. Two gateways on one
 * database that replay the same at once both bring it to Kafka: each knows only what it has requeued itself.
 *
 * A message that makes several events by today's mappings is first divided in the table, one row per event: so each row makes way for
 * one event, and what is wrong with one of them does not keep the others.
 */
import type { Books } from "../../intake/books.ts";
import { isDiskFull } from "../../core/file/sqlite.ts";
import type { Entry, Event, Reject } from "../../core/entry.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { NotNow, type ReviewOutcome, type Selection } from "./review-queue.ts";
import type { QuarantineQueue, QuarantineFull, QuarantineLine } from "./quarantine-rows.ts";
import type { Judge } from "../../judge/contract.ts";
import { toColumns } from "../../core/columns.ts";
import { createTurns } from "../../core/turns.ts";
import { findByDevice, type DeviceLookup } from "../../core/registry.ts";
import type { QuarantineRow, QuarantineTable } from "../../core/quarantine-table.ts";

export interface QuarantineParts {
  readonly table: QuarantineTable;
  readonly registry: Pick<DeviceLookup, "find">;
  readonly judge: Pick<Judge, "reread">;
  requeue(entries: readonly Entry[], count: (books: Books) => void): void;
  /** The last seq that the tables sink has settled, and the last seq of the spool. */
  settledTo(): number;
  head(): number;
  readonly log: Log;
}

const batchMax = 200;
/** Most messages on their way from the spool to the tables; a further replay waits for those. */
export const underWayMax = 100_000;

interface Judged {
  readonly id: number;
  readonly entry: Event | Reject;
}

export function createQuarantineQueue(parts: QuarantineParts): QuarantineQueue {
  const { table, registry, judge, requeue, settledTo, head } = parts;
  /** Rows whose message was requeued and has not reached the tables: id → the last seq of its batch. */
  const underWay = new Map<number, number>();
  /** Else one would select rows, another bring them to the tables meanwhile and forget them, and the first requeue them again. */
  const inTurn = createTurns();
  /** Of an earlier run is what the spool holds up to here. */
  const earlierTo = head();

  /** What an earlier run replayed may be among what the tables lack, and would be requeued twice; of what is discarded they would ignore it. */
  function refuseTooSoon(): void {
    if (settledTo() < earlierTo)
      throw new NotNow(
        "the tables still lack some of what the spool held at the start, and messages that were replayed before may be among that; see `sinks` in /stats",
      );
  }

  function refuseTooMany(): void {
    if (underWay.size >= underWayMax)
      throw new NotNow(`${underWay.size} messages are on their way back already; see \`sinks\` in /stats`);
  }

  async function replay(selection: Selection): Promise<ReviewOutcome> {
    for (const [id, seq] of underWay) if (seq <= settledTo()) underWay.delete(id);
    if (!selection.dry_run) {
      refuseTooSoon();
      refuseTooMany();
    }
    const { rows, upTo, next } = await select(selection);
    const waiting = rows.filter(({ id }) => !underWay.has(id));
    const [asked, unproven] = partition(waiting, (row) => mayReturn(row, selection));
    const judged = await judgeAll(asked, selection.dry_run);
    const accepted = judged.filter(({ entry }) => entry.kind === "event");
    if (!selection.dry_run && accepted.length > 0) append(accepted);
    const kept = judged.flatMap(({ id, entry }) =>
      entry.kind === "reject" ? { id, why: whyOf(entry) } : [],
    );
    return {
      matched: rows.length + judged.length - asked.length,
      done: accepted.length,
      kept: [...kept, ...unproven.map(keptUnproven)],
      next,
      up_to: upTo,
    };
  }

  async function discard(selection: Selection): Promise<ReviewOutcome> {
    if (!selection.dry_run) refuseTooSoon();
    const { rows, upTo, next } = await select(selection);
    const going = rows.filter(({ id }) => !underWay.has(id)).map(({ id }) => id);
    const done = selection.dry_run || going.length === 0 ? going.length : await orNotNow(table.remove(going));
    return { matched: rows.length, done, kept: [], next, up_to: upTo };
  }

  function append(accepted: readonly { id: number; entry: Entry }[]): void {
    const entries = accepted.map(({ id, entry }) => ({
      ...entry,
      returned: { target: null, quarantineId: id },
    }));
    try {
      requeue(entries, (books) => {
        for (const entry of entries) {
          books.receive();
          books.count(entry);
        }
      });
    } catch (error) {
      throw new NotNow(explain(error), { cause: error });
    }
    for (const { id } of accepted) underWay.set(id, head());
  }

  async function judgeAll(rows: readonly QuarantineRow[], isDry: boolean): Promise<Judged[]> {
    const single = isDry ? rows : await apart(rows);
    const read = single.map((row) => ({ row, reread: judge.reread(entryOf(row)) }));
    const asked = read.flatMap(({ reread }) => reread.devices);
    const devices = await orNotNow(findByDevice(registry, asked));
    return read.flatMap(({ row, reread }) =>
      reread.judge((key) => devices.get(key) ?? null).map((entry) => ({ id: row.id, entry })),
    );
  }

  /** With a row of its own for each event. */
  async function apart(rows: readonly QuarantineRow[]): Promise<readonly QuarantineRow[]> {
    const whole: QuarantineRow[] = [];
    const ids: number[] = [];
    for (const row of rows) {
      const divided = judge.reread(entryOf(row)).parts();
      if (divided.length === 1) whole.push(row);
      else ids.push(...(await orNotNow(table.divide(row.id, divided))));
    }
    if (ids.length === 0) return whole;
    return [...whole, ...(await orNotNow(table.list({ ids, after: 0, limit: ids.length })))];
  }

  async function select({ ids, after, up_to, tenant, device, ...filter }: Selection) {
    const upTo = up_to ?? (await orNotNow(table.lastId()));
    const { reason, since, until } = filter;
    const where = { reason, since, until, tenantId: tenant, deviceId: device, ids, after, upTo };
    const rows = await orNotNow(table.list({ ...where, limit: batchMax }));
    return { rows, upTo, next: rows.length < batchMax ? null : (rows.at(-1)?.id ?? null) };
  }

  async function orNotNow<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      parts.log.warn({ error: explain(error) }, "the quarantine cannot be read or changed now");
      throw new NotNow(
        isDiskFull(error)
          ? "the disk of the local store is full, so nothing was changed: make room, and try again"
          : "the database does not answer as it should; the log says how",
        { cause: error },
      );
    }
  }

  return {
    async list({ after, limit, tenant, device, reason, since, until }) {
      const filter = { reason, since, until, tenantId: tenant, deviceId: device, after, limit };
      return (await orNotNow(table.list(filter))).map(lineOf);
    },
    async show(id) {
      const [row] = await orNotNow(table.list({ ids: [id], after: 0, limit: 1 }));
      return row && fullOf(row);
    },
    replay: (selection) => (selection.dry_run ? replay(selection) : inTurn(() => replay(selection))),
    discard: (selection) => (selection.dry_run ? discard(selection) : inTurn(() => discard(selection))),
  };
}

/** The senders of these did not prove to be the device, and the token is gone: they are replayed only if an operator names them. */
const unprovenReasons: ReadonlySet<string> = new Set(["TOKEN_MISSING", "TOKEN_INVALID"]);

function mayReturn({ reason }: QuarantineRow, selection: Selection): boolean {
  return !unprovenReasons.has(reason) || selection.reason === reason || selection.ids !== undefined;
}

function keptUnproven({ id, reason }: QuarantineRow): { id: number; why: string } {
  return { id, why: `${reason}: it comes back only when it is asked for by this reason or by its id` };
}

function partition<T>(all: readonly T[], fits: (one: T) => boolean): [T[], T[]] {
  return [all.filter(fits), all.filter((one) => !fits(one))];
}

/** A kept reject as the judge takes it, which goes by its topic, payload and time of arrival. */
function entryOf(row: QuarantineRow): Reject {
  return {
    seq: 0,
    kind: "reject",
    // An entry keeps it to the ms.
    receivedMs: Date.parse(`${row.ingestedAt.slice(0, 23)}Z`),
    topic: row.topic,
    tenantId: row.tenantId,
    deviceId: row.deviceId,
    msgType: row.msgType,
    siteId: row.siteId,
    eventMs: null,
    eventNs: 0,
    reason: row.reason,
    detail: null,
    payload: row.payload,
    tokenHash: null,
    returned: null,
  };
}

function whyOf({ reason, detail }: Reject): string {
  return detail === null ? reason : `${reason}: ${detail}`;
}

function lineOf({ id, reason, tenantId, deviceId, msgType, ingestedAt }: QuarantineRow): QuarantineLine {
  return toColumns({ id, reason, tenantId, deviceId, msgType, ingestedAt });
}

function fullOf(row: QuarantineRow): QuarantineFull {
  const { topic, siteId, eventTs, payload } = row;
  return { ...lineOf(row), ...toColumns({ topic, siteId, eventTs, payload }) };
}
