/**
 * The position in the table, under its lock. It is read with the first request of a batch's transaction and written with the
 * last, since a server may be far away.
 */
import { arrayText, literal } from "./literals.ts";
import type { Rows, Transaction } from "./postgres-client.ts";
import { positionOf, type PositionRow } from "../../core/position.ts";
import type { Position } from "../../core/sink.ts";

/** By name: a column that is gone is an error, and not a position that nobody can compare. */
export const positionQuery = "select epoch, seq, delivered, ignored, refused, skipped from sluice_position";

/**
 * Statements that open a transaction: they take the epoch's lock if it is free, and read its position. Each statement sees
 * what was committed before it, so the position is that of whoever had the lock before.
 */
export function openingOf(epoch: string): string[] {
  return [`select ${tryLock(epoch)} as locked`, `${positionQuery} where epoch = ${literal(epoch)}`];
}

/** The position that these statements found; if somebody else had the lock, after waiting for it. */
export async function openedPosition(
  tx: Transaction,
  epoch: string,
  [lockRows, positionRows]: readonly Rows[],
): Promise<Position | undefined> {
  if (lockRows?.[0]?.["locked"] !== true) return lockedPosition(tx, epoch);
  const row = positionRows?.[0] as PositionRow | undefined;
  return row && positionOf(row);
}

/** A statement of its own after the lock: in read committed it sees what the lock waited for. */
export async function lockedPosition(tx: Transaction, epoch: string): Promise<Position | undefined> {
  await lock(tx, [epoch]);
  const [row] = await tx.unsafe<PositionRow[]>(`${positionQuery} where epoch = ${literal(epoch)}`);
  return row && positionOf(row);
}

export const awaitsStandby =
  "a COMMIT waits for its synchronous standby: bring that back, or take it out of synchronous_standby_names";

/**
 * Lets one writer per epoch in, until the end of the transaction. A backend that holds the lock and has long been waiting for its
 * client is our own past (abandoned at a deadline, or a host that lost power): it is ended. One that is at work, as in its COMMIT,
 * is waited for.
 */
export async function lock(tx: Transaction, epochs: readonly string[]): Promise<void> {
  const keys = tx`select distinct hashtextextended('sluice:' || epoch, 0) as key
    from unnest(${arrayText(epochs)}::text[]) as epoch order by 1`;
  const [tried] = await tx<{ locked: boolean | null }[]>`
    select bool_and(pg_try_advisory_xact_lock(key)) as locked from (${keys}) as keys`;
  if (tried?.locked !== false) return;
  const holders = await tx<{ wait_event: string | null }[]>`
    select wait_event, case wait_event when 'ClientRead' then pg_terminate_backend(pid) end
    from pg_locks join pg_stat_activity using (pid) join (${keys}) as keys
      on classid = ((key >> 32) & 4294967295)::oid and objid = (key & 4294967295)::oid
    where locktype = 'advisory' and granted and pid <> pg_backend_pid()
      and state_change < clock_timestamp() - interval '1 second'`;
  if (holders.some((holder) => holder.wait_event === "SyncRep")) throw new Error(awaitsStandby);
  await tx`select pg_advisory_xact_lock(key) from (${keys}) as keys`;
}

/**
 * The statement that takes the epoch's lock and moves the position on from where it is known to be; it divides by zero, and so ends the
 * transaction, if somebody has the lock or the position is another. That the lock is taken within the statement is safe: if the position
 * moved before, PostgreSQL looks at the row as it is now before it writes it (read committed), and finds another.
 */
export function positionMove(gatewayId: string, from: Position, to: Position): string {
  return `with moved as (
      update sluice_position set gateway_id = ${literal(gatewayId)}, ${numbersOf(to).join(", ")}, updated_at = now()
      where epoch = ${literal(to.epoch)} and ${numbersOf(from).join(" and ")} and ${tryLock(to.epoch)} returning 1)
    select 1 / count(*) from moved`;
}

/** What a server says to a division by zero. */
export const positionMoved = "22012";

const numbersOf = ({ seq, totals }: Position) =>
  Object.entries({ seq, ...totals }).map(([column, number]) => `${column} = ${number}`);

function tryLock(epoch: string): string {
  return `pg_try_advisory_xact_lock(hashtextextended('sluice:' || ${literal(epoch)}, 0))`;
}

/** The statement that writes it. A trigger, a rule or a policy that keeps it out refuses the batch by these words: its rows without it would come again. */
export function positionPut(gatewayId: string, { epoch, seq, totals }: Position): string {
  const { delivered, ignored, refused, skipped } = totals;
  const numbers = [seq, delivered, ignored, refused, skipped].join(", ");
  return `with put as (insert into sluice_position
      (epoch, gateway_id, seq, delivered, ignored, refused, skipped, updated_at)
    values (${literal(epoch)}, ${literal(gatewayId)}, ${numbers}, now())
    on conflict (epoch) do update set gateway_id = excluded.gateway_id, seq = excluded.seq,
      delivered = excluded.delivered, ignored = excluded.ignored, refused = excluded.refused,
      skipped = excluded.skipped, updated_at = excluded.updated_at returning 1)
    select case count(*) when 0 then ('${keptOut}' || count(*))::int end from put`;
}

/** No number, so that to make one of it fails and says this; with the count behind it, or PostgreSQL would do so before there is one. */
const keptOut = "a trigger, a rule or a policy of sluice_position keeps the position out; rows written: ";
