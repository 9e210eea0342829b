/**
 * The books of the intake: what became of every message received since the first start.
 *
 * They are written with each group in one transaction (spool.ts), so they are true after any crash. What is still
 * being judged is not written: after a crash nobody acknowledged it, and it is received again.
 */
import type { Entry } from "../core/entry.ts";
import { counted, countedEntries } from "../core/text/readable.ts";

export interface BookTotals {
  readonly received: number;
  readonly accepted: number;
  readonly rejected: Readonly<Record<string, number>>;
  readonly duplicate: number;
}

const rejectedPrefix = "rejected:";

/** As the spool keeps them, beside the rejects of each reason. */
const names = [
  "received",
  "accepted",
  "without_metrics",
  "duplicate",
  "split",
  // Messages spooled before they could be judged, those of them that were judged since, and up to which seq all were.
  "deferred",
  "rejudged",
  "rejudged_to",
  // Dead letters that were appended anew.
  "replayed",
] as const;

type Counts = Record<(typeof names)[number], number>;

export class Books {
  readonly #counts: Counts;
  readonly #rejected = new Map<string, number>();
  readonly #atStart: BookTotals;

  /** @param kept the counters as the spool last wrote them */
  constructor(kept: ReadonlyMap<string, number>) {
    this.#counts = Object.fromEntries(names.map((name) => [name, kept.get(name) ?? 0])) as Counts;
    for (const [name, value] of kept) {
      if (name.startsWith(rejectedPrefix)) this.#rejected.set(name.slice(rejectedPrefix.length), value);
    }
    this.#atStart = this.totals();
  }

  receive(): void {
    this.#counts.received++;
  }

  /** A message that was received turns out to be so many events, and counts as that many. */
  split(events: number): void {
    this.#counts.received += events - 1;
    this.#counts.split += events - 1;
  }

  /** How much of `received` is further events of one message. */
  get furtherEvents(): number {
    return this.#counts.split;
  }

  /** What became of a message, or of one event of it, by the entry that stands for it. */
  count({ kind, detail, reason }: Entry): void {
    if (kind === "deferred") this.#counts.deferred++;
    else if (kind === "reject") this.#rejected.set(reason, (this.#rejected.get(reason) ?? 0) + 1);
    else {
      this.#counts.accepted++;
      if (detail !== null) this.#counts.without_metrics++;
    }
  }

  /** Of those accepted on the disk: telemetry without metrics, of which InfluxDB gets no reading. */
  withoutMetrics(open: readonly Entry[]): number {
    return this.#counts.without_metrics - tally(open).#counts.without_metrics;
  }

  duplicate(): void {
    this.#counts.duplicate++;
  }

  /** A deferred message was judged; all of them up to `seq` of the spool were. */
  rejudge(seq: number): void {
    this.#counts.rejudged++;
    this.#counts.rejudged_to = seq;
  }

  replay(): void {
    this.#counts.replayed++;
  }

  get rejudgedTo(): number {
    return this.#counts.rejudged_to;
  }

  /** Messages on the disk whose judgement is still to come. */
  get awaiting(): number {
    return this.#counts.deferred - this.#counts.rejudged;
  }

  /** Entries that the spool was ever given. */
  get spooled(): number {
    const { accepted, deferred, replayed } = this.#counts;
    return accepted + this.#rejectedSum() + deferred + replayed;
  }

  /** Dead letters that were replayed: entries of the spool that no message came for. */
  get replayed(): number {
    return this.#counts.replayed;
  }

  totals(): BookTotals {
    const { received, accepted, duplicate } = this.#counts;
    return { received, accepted, rejected: Object.fromEntries(this.#rejected), duplicate };
  }

  /**
   * As they are told to others: nobody is told that a message of the open group is accepted or rejected, which only the
   * disk makes true, so that these counts, the list of rejects and what waits for the sinks are of one moment.
   */
  onDisk(open: readonly Entry[]): BookTotals {
    return less(this.totals(), tally(open).totals());
  }

  /** The same since this start. */
  sinceStart(open: readonly Entry[]): BookTotals {
    return less(this.onDisk(open), this.#atStart);
  }

  /** received = accepted + rejected + duplicate + judging, where `inMemory` of those judging have not reached the disk. */
  balancedWith(inMemory: number): boolean {
    const { received, accepted, duplicate } = this.#counts;
    return received === accepted + this.#rejectedSum() + duplicate + this.awaiting + inMemory;
  }

  /** As the spool is to write them, without the `inMemory` messages that no disk knows of. */
  toKeep(inMemory: number): Map<string, number> {
    const kept = new Map<string, number>(Object.entries(this.#counts));
    kept.set("received", this.#counts.received - inMemory);
    for (const [reason, n] of this.#rejected) kept.set(rejectedPrefix + reason, n);
    return kept;
  }

  #rejectedSum(): number {
    let sum = 0;
    for (const n of this.#rejected.values()) sum += n;
    return sum;
  }
}

function tally(entries: readonly Entry[]): Books {
  const books = new Books(new Map());
  for (const entry of entries) books.count(entry);
  return books;
}

function less(from: BookTotals, part: BookTotals): BookTotals {
  const rejected = Object.entries(from.rejected).map(
    ([reason, n]) => [reason, n - (part.rejected[reason] ?? 0)] as const,
  );
  return {
    received: from.received - part.received,
    accepted: from.accepted - part.accepted,
    rejected: Object.fromEntries(rejected.filter(([, n]) => n > 0)),
    duplicate: from.duplicate - part.duplicate,
  };
}

/** What a check of the spool (spool/tools/verify.ts) asks of them. */
export function told(kept: ReadonlyMap<string, number>) {
  const books = new Books(kept);
  return { spooled: books.spooled, balanced: books.balancedWith(0) };
}

/** The place of a message that waited in the spool to be judged, and that damage has taken. */
const lostReason = "LOST_TO_DAMAGE";

/**
 * The counters after damage to the spool (spool/tools/repair.ts), so that they balance over what there is. What was deferred and is
 * gone is counted as judged, a reject whose entry is lost too; entries of which nothing is known any more count as accepted.
 */
export function balanceBooks(
  kept: ReadonlyMap<string, number>,
  held: { readonly head: number; deferred(after: number): number },
): { books: ReadonlyMap<string, number>; head: number; notes: string[] } {
  const notes: string[] = [];
  const books = new Map(kept);
  const add = (name: string, n: number) => books.set(name, (books.get(name) ?? 0) + n);
  const unknown = held.head - new Books(books).spooled;
  if (unknown !== 0) {
    add("accepted", unknown);
    notes.push(`the books did not tell of ${countedEntries(unknown)}: counted as accepted`);
  }
  const lost = new Books(books).awaiting - held.deferred(books.get("rejudged_to") ?? 0);
  if (lost > 0) {
    add("rejudged", lost);
    add(rejectedPrefix + lostReason, lost);
    notes.push(
      `${counted(lost, "message")} waited to be judged and got lost: counted as rejected (${lostReason})`,
    );
  }
  const corrected = new Books(books);
  const { accepted, rejected, duplicate } = corrected.totals();
  const rejects = Object.values(rejected).reduce((sum, n) => sum + n, 0);
  books.set("received", accepted + rejects + duplicate + corrected.awaiting);
  return { books, head: corrected.spooled, notes };
}
