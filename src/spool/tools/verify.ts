/**
 * Verify reads a whole spool, every page, group and checksum, and reports what is not as it was written. It changes
 * nothing.
 *
 * Seqs that are missing between two groups are distinguished from damage: an earlier repair gave them up, or somebody
 * deleted rows; there is nothing left to repair.
 */
import type { Database } from "bun:sqlite";
import { explain } from "../../core/log/log.ts";
import { decodeGroup, type Group } from "../codec.ts";
import { bytesWanted, withFile } from "./spool-file.ts";
import { whileLocked } from "../lock.ts";
import {
  absent,
  attempt,
  groupsOf,
  headNoted,
  keysOf,
  lastKey,
  settledByAll,
  type Lost,
  type Reading,
} from "./salvage.ts";
import { formatVersion, whyNoSpool } from "../schema.ts";
import { booksIn } from "../sidecar.ts";

export interface BadLetter {
  readonly id: number;
  readonly why: string;
}

export interface Verified {
  readonly path: string;
  /** Every byte is as it was written. */
  readonly sound: boolean;
  /** What SQLite finds wrong with the file's pages. */
  readonly pages: readonly string[];
  readonly groups: number;
  readonly entries: number;
  /** The oldest and the newest seq that can be read; 0 if there is none. */
  readonly first: number;
  readonly last: number;
  /** The last seq ever given. */
  readonly head: number;
  /** Groups that cannot be read, and the newest ones if they are gone. */
  readonly damaged: readonly Lost[];
  /** Seqs between groups that are missing. */
  readonly missing: readonly Lost[];
  readonly deadLetters: number;
  readonly badLetters: readonly BadLetter[];
  /** Why the books do not match what was ever spooled; null if they do. */
  readonly books: string | null;
}

/** By the books. */
interface Told {
  /** How many entries were ever spooled. */
  readonly spooled: number;
  /** What was received is what became of it. */
  readonly balanced: boolean;
}

export interface VerifyOptions {
  readonly dataDir: string;
  readonly told: (books: ReadonlyMap<string, number>) => Told;
  readonly reading?: Reading;
}

const pageFaultsMax = 100;

/** @throws if the spool is in use, does not exist, is of a later version, or is no spool */
export function verifySpool({ dataDir, told, reading }: VerifyOptions): Verified {
  return whileLocked(dataDir, () => withFile(dataDir, (db, path) => inspect(db, path, told, reading)));
}

export function inspect(
  db: Database,
  path: string,
  toldBy: VerifyOptions["told"],
  reading?: Reading,
): Verified {
  const pages = pageFaults(db);
  const wanted = bytesWanted(path);
  if (wanted !== null) pages.unshift(`it was cut: it should have ${wanted} bytes`);
  refuseOther(db, path);
  const found = { groups: 0, entries: 0, first: 0, last: 0 };
  const damaged: Lost[] = [];
  const missing: Lost[] = [];
  const scanned = attempt(() => {
    for (const each of groupsOf(db, reading)) {
      if ("lost" in each) {
        (each.lost.why === absent ? missing : damaged).push(each.lost);
        continue;
      }
      const { last, count } = each.row;
      found.first ||= last - count + 1;
      found.last = last;
      found.groups++;
      found.entries += count;
    }
  });
  if (!scanned.ok) pages.push(explain(scanned.error));
  const told = attempt(() => toldBy(booksIn(db)));
  const counted = told.ok ? told.value.spooled : 0;
  const head = Math.max(found.last, headNoted(db), damaged.at(-1)?.to ?? 0, counted);
  // What every sink has settled is not missing, although no group holds it any more.
  const ended = Math.max(found.last, damaged.at(-1)?.to ?? 0, settledByAll(db));
  const letters = lettersOf(db);
  const books = told.ok ? booksFault(told.value, head) : "they cannot be read";
  const sound = pages.length + damaged.length + letters.bad.length === 0 && books === null;
  // A head beyond the groups is what a repair leaves, or a spool that was emptied; real damage shows in the pages.
  const newest = head > ended ? [{ from: ended + 1, to: head, why: "the newest groups are gone" }] : [];
  return {
    path,
    sound,
    pages,
    ...found,
    head,
    damaged: sound ? damaged : [...damaged, ...newest],
    missing: sound ? [...missing, ...newest] : missing,
    deadLetters: letters.count,
    badLetters: letters.bad,
    books,
  };
}

function pageFaults(db: Database): string[] {
  const faults = attempt(() =>
    db.query<{ integrity_check: string }, []>(`PRAGMA integrity_check(${pageFaultsMax})`).all(),
  );
  if (!faults.ok) return [explain(faults.error)];
  return faults.value.map((row) => row.integrity_check).filter((text) => text !== "ok");
}

function refuseOther(db: Database, path: string): void {
  const foreign = attempt(() => whyNoSpool(db));
  if (foreign.ok && foreign.value !== undefined) throw new Error(`${path}: ${foreign.value}`);
  const version = attempt(() => db.query<{ user_version: number }, []>("PRAGMA user_version").get());
  if (version.ok && (version.value?.user_version ?? 0) > formatVersion)
    throw new Error(`${path} was written by a later version of sluice: use that version's tools`);
}

function booksFault({ spooled, balanced }: Told, head: number): string | null {
  if (spooled !== head) return `they tell of ${spooled}, not of ${head} entries`;
  return balanced ? null : "what they tell was received is not what they tell became of it";
}

function lettersOf(db: Database): { count: number; bad: BadLetter[] } {
  const bad: BadLetter[] = [];
  let count = 0;
  const scanned = attempt(() => {
    const get = db.query<Group & { seq: number }, [number]>(
      "SELECT seq, codec, crc, body FROM dead_letters WHERE id = ?",
    );
    for (const key of keysOf(db, "dead_letters", lastKey(db, "dead_letters"))) {
      if ("unreadable" in key) {
        bad.push({ id: key.unreadable.from, why: `ids up to ${key.unreadable.to} cannot be read` });
        continue;
      }
      count++;
      const why = letterFault(() => get.get(key.key));
      if (why !== undefined) bad.push({ id: key.key, why });
    }
  });
  if (!scanned.ok) bad.push({ id: 0, why: explain(scanned.error) });
  return { count, bad };
}

/** What is wrong with a dead letter; undefined if nothing is. */
export function letterFault(read: () => (Group & { seq: number }) | null): string | undefined {
  const tried = attempt(() => {
    const row = read();
    if (row === null) throw new Error("it is not where it is listed");
    decodeGroup(row, row.seq, 1);
  });
  return tried.ok ? undefined : explain(tried.error);
}
