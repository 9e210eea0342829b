/**
 * The tables sink: the rows of a batch and the position they came from, in one transaction. One sink over two stores.
 *
 * What a batch becomes is arithmetic (core/position.ts), the same for both stores. A store only reads the position under its lock,
 * removes the rows that it is told, and writes what then is left, so its transaction crosses this file twice. Rejected alternative:
 * a sink per store that calls the arithmetic step by step; the order of those six calls is the promise, and it stood in two places.
 */
import { isFor, type Entry } from "../core/entry.ts";
import { KnownPositions } from "../core/known-positions.ts";
import {
  advanced,
  outcomeBetween,
  refusedOf,
  replacedBy,
  positionOf,
  stillWanted,
  type PositionRow,
  type Replaced,
} from "../core/position.ts";
import type { Delivery, Position, Sink } from "../core/sink.ts";

/** What a store does for its sink. */
export interface TablesStore extends Pick<
  Sink,
  "name" | "batchMax" | "batchBytesMax" | "lingerMs" | "deadlineMs" | "probe" | "remedy"
> {
  /** The positions of these epochs, once nobody else is writing them. */
  positions(epochs: readonly string[]): Promise<readonly PositionRow[]>;
  /** The server that answered so last. */
  readonly place?: string | undefined;
  /** Writes a part of a delivery in one transaction. @returns the position after it */
  transact(part: Part): Promise<Position>;
  /** Commits a delivery, in parts if the store refuses some of it. Absent: always in one part. */
  deliver?(delivery: Delivery, commit: Commit): Promise<Position>;
}

/** Commits these entries of the delivery. Those in `refusals` (why, by seq) become dead letters. */
export type Commit = (entries: readonly Entry[], refusals: ReadonlyMap<number, string>) => Promise<Position>;

/** Entries that are written in one transaction. */
export interface Part {
  readonly epoch: string;
  /** The position before these entries, if it is as this process left it; undefined: that is to be asked. */
  readonly expected: Position | undefined;
  /** @param stored the position, read under the lock that no other writer of the epoch holds */
  plan(stored: Position | undefined): Plan;
}

export interface Plan {
  /** Rows of quarantine_events to remove, because an entry replaces them. */
  readonly claims: readonly Replaced[];
  /** @param claimed ids of those that were there */
  writes(claimed: readonly number[]): Writes;
}

export interface Writes {
  /** The position to write after the rows. */
  readonly after: Position;
  /** All of it is in the tables already: there is nothing to write. */
  readonly isStored: boolean;
  readonly rows: readonly Entry[];
  /** Puts the refused entries into the dead letters, durably: the last step before the commit. Absent: none is refused. */
  readonly refuse: (() => void) | undefined;
}

export function createTablesSink(store: TablesStore): Sink {
  const { name } = store;
  const positions = new KnownPositions();

  const committerOf =
    (delivery: Delivery): Commit =>
    async (entries, refusals) => {
      if (delivery.signal.aborted) throw new Error("the delivery was called off");
      const { epoch } = delivery;
      const known = positions.of(epoch);
      const baseOf = positions.begins(delivery);
      positions.commits(epoch, entries.at(-1)?.seq ?? 0);
      const plan = (stored: Position | undefined) =>
        planOf({ name, delivery, entries, refusals, base: baseOf(stored) });
      const expected = known && goesOnFrom(known, delivery) ? known : undefined;
      const position = await store.transact({ epoch, expected, plan });
      positions.committed(position);
      return position;
    };

  return {
    name,
    get batchMax() {
      return store.batchMax;
    },
    batchBytesMax: store.batchBytesMax,
    lingerMs: store.lingerMs,
    deadlineMs: store.deadlineMs,
    whenFull: "hold",
    async positions(epochs) {
      return positions.read(epochs, (await store.positions(epochs)).map(positionOf));
    },
    get place() {
      return store.place;
    },
    async deliver(delivery) {
      const commit = committerOf(delivery);
      const position = await (store.deliver?.(delivery, commit) ?? commit(delivery.entries, delivery.aside));
      return outcomeBetween(delivery.before, position.totals, delivery.entries.length);
    },
    probe: () => store.probe(),
    ...(store.remedy !== undefined && { remedy: store.remedy }),
    close: () => Promise.resolve(),
  };
}

/** Is this delivery the next after that position? */
function goesOnFrom({ seq, totals }: Position, { before, entries }: Delivery): boolean {
  const { delivered, ignored, refused } = totals;
  const isSame = delivered === before.delivered && ignored === before.ignored && refused === before.refused;
  return isSame && seq < (entries[0]?.seq ?? 0);
}

interface PlanParts {
  readonly name: string;
  readonly delivery: Delivery;
  readonly entries: readonly Entry[];
  readonly refusals: ReadonlyMap<number, string>;
  readonly base: Position;
}

function planOf({ name, delivery, entries, refusals, base }: PlanParts): Plan {
  const { before } = delivery;
  const last = entries.at(-1)?.seq ?? base.seq;
  const fresh = (entries[0]?.seq ?? 0) > base.seq ? entries : entries.filter(({ seq }) => seq > base.seq);
  const refused = refusedOf(name, fresh, refusals);
  const wanted = fresh.filter((entry) => isFor(name, entry) && !refusals.has(entry.seq));
  const claims = replacedBy(wanted);
  return {
    claims,
    writes(claimed) {
      const rows = claims.length === 0 ? wanted : stillWanted(wanted, claimed);
      const settled = {
        delivered: rows.length,
        ignored: fresh.length - rows.length - refused.length,
        refused: refused.length,
      };
      const after = advanced(base, settled, last, before.skipped);
      outcomeBetween(before, after.totals, last - (delivery.entries[0]?.seq ?? last) + 1);
      const isStored = fresh.length === 0;
      return {
        after: isStored ? base : after,
        isStored,
        rows,
        refuse: refused.length > 0 ? () => delivery.refuse(refused) : undefined,
      };
    },
  };
}
