/**
 * The sieve: which entries of a batch that PostgreSQL has refused may be settled, and how.
 *
 * A refusal needs a proof (trial-verdict.ts): another real entry that passes. If the batch has none, the entries behind it are
 * tried, a few batches per delivery. If none of them passes either, nothing that could be stored waits behind the refused
 * ones, so to wait for the next entry costs nobody anything. Rejected alternative: lanes per device, each with a detour, which need a
 * position per lane in every transaction for what one more trial finds out.
 */
import { payloadBytes, type Entry } from "../../core/entry.ts";
import { literal } from "./literals.ts";
import type { Postgres } from "./postgres-client.ts";
import { timeText } from "../rows.ts";
import { Outage } from "../../core/outage.ts";
import type { Delivery } from "../../core/sink.ts";
import { tryEach, type Trial } from "./trial.ts";
import { lackingProof, provenBy, verdictOf, type Held, type Proven, type Verdict } from "./trial-verdict.ts";
import { isPassing, lacksPartition, unproven } from "./postgres-words.ts";
import { tablesOf, type Table } from "./write.ts";

/** Batches that a delivery tries behind its own; the next delivery goes on from there. */
const searchBatchesMax = 4;
/** Deliveries that look only at new entries after a search of the whole spool; then the search begins again, for the tables may be fixed. */
const pauseDeliveries = 10;
/** Most trials of one delivery. */
export const trialsMax = 2 + searchBatchesMax;

export interface SieveOptions {
  readonly db: Postgres;
  /** Is an entry meant for the tables at all? */
  readonly isMeant: (entry: Entry) => boolean;
  /** Most entries of one trial. */
  readonly batchMax: () => number;
  readonly batchBytesMax: number;
}

export interface Sieve {
  judge(delivery: Delivery): Promise<Verdict>;
  /** What to throw for the entry that is held. */
  outageOf(held: Held): Outage;
  /** Everything up to this seq is settled. */
  settled(seq: number): void;
}

export function createSieve({ db, isMeant, batchMax, batchBytesMax }: SieveOptions): Sieve {
  const strikes = new Map<number, number>();
  /** Entries behind the batch at hand that a table has taken in a trial. */
  const witnesses = new Map<Table, Entry>();
  let searchFrom = 0;
  /** Deliveries until the search begins again; 0: it has not yet reached the end. */
  let pause = 0;
  /** The refused entry that everything waits for, and how often it was tried. */
  let waiting = { seq: 0, tries: 0 };

  async function judge(delivery: Delivery): Promise<Verdict> {
    const { entries, aside } = delivery;
    const isTried = (entry: Entry) => isMeant(entry) && !aside.has(entry.seq);
    const last = entries.at(-1)?.seq ?? 0;
    for (const [table, { seq }] of witnesses) if (seq <= last) witnesses.delete(table);
    const attempt = () => tried([...entries.filter(isTried), ...witnesses.values()]);
    let { trial, proven } = await attempt();
    // What was found elsewhere counts if it passes once more, beside the refused ones.
    if (lacks(trial, proven) && (await search(delivery, last, proven))) ({ trial, proven } = await attempt());
    return verdictOf({ entries, isTried, trial, proven, strikes });
  }

  async function tried(entries: readonly Entry[]): Promise<Attempt> {
    const trial = { ...(await tryEach(db, entries)), entries };
    const proven = provenBy(trial.passed);
    if (await isBetweenPartitions(db, trial)) for (const table of proven.keys()) proven.set(table, 0);
    return { trial, proven };
  }

  /** Tries the entries behind the batch until one passes in a table that is not `proven`. @returns whether one has */
  async function search({ later }: Delivery, last: number, proven: Proven): Promise<boolean> {
    if (pause > 0 && --pause === 0) searchFrom = 0;
    searchFrom = Math.max(searchFrom, last + 1);
    for (let i = 0; i < searchBatchesMax; i++) {
      const entries = behind(later, searchFrom);
      if (entries.length === 0) {
        pause ||= pauseDeliveries;
        return false;
      }
      searchFrom = (entries.at(-1)?.seq ?? 0) + 1;
      const open = entries.filter((e) => isMeant(e) && tablesOf(e).some((table) => !proven.has(table)));
      const { passed } = await tryEach(db, open);
      for (const entry of passed) for (const table of tablesOf(entry)) witnesses.set(table, entry);
      if (passed.length > 0) return true;
    }
    return false;
  }

  /** Entries from `from` on, as many as a trial takes; none: the spool ends here. */
  function behind(later: Delivery["later"], from: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let read = later(from); read.length > 0; read = later(from)) {
      for (const entry of read) {
        from = entry.seq + 1;
        bytes += payloadBytes(entry);
        if (entries.push(entry) >= batchMax() || bytes > batchBytesMax) return entries;
      }
    }
    return entries;
  }

  return {
    judge,
    outageOf({ entry, note, unproven: tables }) {
      const { seq } = entry;
      if (isPassing(note.code) || tables.length === 0)
        return new Outage(`PostgreSQL: ${note.message} (${note.code})`);
      waiting = { seq, tries: waiting.seq === seq ? waiting.tries + 1 : 1 };
      return unproven(entry, note, waiting.tries);
    },
    settled(upTo) {
      for (const seq of strikes.keys()) if (seq <= upTo) strikes.delete(seq);
    },
  };
}

interface Attempt {
  readonly trial: Trial & { readonly entries: readonly Entry[] };
  /** The tables that took an entry. */
  readonly proven: Proven;
}

/**
 * A partition is missing between others, if its table takes or holds what arrived earlier: then what passes behind it proves nothing.
 * If not, it is one that was dropped for its age.
 */
async function isBetweenPartitions(
  db: Postgres,
  { entries, refused, passed }: Attempt["trial"],
): Promise<boolean> {
  const notes = entries.map((entry) => ({ ms: entry.receivedMs, note: refused.get(entry.seq) }));
  const newest = notes.findLast(({ note }) => note !== undefined && lacksPartition(note));
  if (newest?.note === undefined) return false;
  const { ms, note } = newest;
  if (passed.some((e) => e.receivedMs < ms && tablesOf(e).some((table) => table === note.table))) return true;
  const earlier = `select 1 from ${note.table} where ingested_at < ${literal(timeText(ms, 0))} limit 1`;
  return (await db.ask("looking for rows of an earlier partition", earlier)).length > 0;
}

/** An entry was refused that may be so for good, if only there were a proof. */
function lacks({ entries, refused }: Attempt["trial"], proven: Attempt["proven"]): boolean {
  return entries.some((entry) => {
    const note = refused.get(entry.seq);
    return note !== undefined && !isPassing(note.code) && lackingProof(entry, note, proven).length > 0;
  });
}
