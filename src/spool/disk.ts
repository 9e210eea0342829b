/** The spool's file and the space on its disk: writing if there may be none, leaving some free, giving some back. */
import { closeSync, openSync } from "node:fs";
import type { Database } from "bun:sqlite";
import type { Clock, Timer } from "../core/clock.ts";
import type { HeldReason } from "../core/held.ts";
import { explain } from "../core/log/log.ts";
import { size } from "../core/text/readable.ts";
import { freeBytesOn } from "../core/file/free-bytes.ts";
import { freePages, freePagesKept, pageBytes, vacuum } from "../core/file/sqlite.ts";
import { busyTimeoutMs } from "./open.ts";

/**
 * Thrown if nothing can be appended now: the spool is at its bound or the disk is full. What was to be appended is
 * still the caller's.
 */
export class SpoolFull extends Error {
  override readonly name = "SpoolFull";
  readonly reason: HeldReason;

  constructor(reason: HeldReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What a file system that has failed says to whoever opens a file for writing: it has turned read-only, or was shut down. */
const failedCodes = new Set<unknown>(["EROFS", "EIO"]);

/**
 * Throws if the file system has failed, to be called after each commit. In the moment in which ext4 fails an fsync may succeed although the file's new
 * length is dropped with the journal: in 7 of 100 such moments (Linux 6.18) the last write was gone.
 */
export function refuseFailedDisk(db: Database): void {
  try {
    closeSync(openSync(`${db.filename}-wal`, "r+"));
  } catch (cause) {
    if (!failedCodes.has((cause as NodeJS.ErrnoException).code)) return;
    const remedy = "stop the gateway, mend the file system, see dmesg";
    throw new Error(`the spool's file system has failed (${explain(cause)}): ${remedy}`, { cause });
  }
}

/**
 * Returns what writes one transaction, all or nothing and after `check`; it may be tried twice. Made once per file: bun:sqlite makes and describes
 * four functions per `transaction()`, which at a thousand messages a second cost more than the statements.
 * The result throws SpoolFull if it cannot be written; and from then on, if `prove` threw after a commit, which may be on the disk or not.
 */
export function committer(
  db: Database,
  clock: Clock,
  check: () => void,
  prove = () => refuseFailedDisk(db),
): (write: () => void) => void {
  const bringLog = logBringer(db, clock);
  let failed: SpoolFull | undefined;
  const transaction = db.transaction((write: () => void) => {
    check();
    write();
  });
  return (write) => {
    if (failed) throw failed;
    try {
      transaction(write);
    } catch {
      // If only the write-ahead log has no room to grow: it starts again from its beginning, and the transaction is tried
      // once more.
      try {
        db.query("PRAGMA wal_checkpoint(RESTART)").all();
        transaction(write);
      } catch (cause) {
        throw new SpoolFull("cannot_write", `the spool cannot be written (${explain(cause)})`, { cause });
      }
    }
    try {
      prove();
    } catch (cause) {
      throw (failed = new SpoolFull("cannot_write", explain(cause), { cause }));
    }
    bringLog();
  };
}

/** Pages of the write-ahead log. A longer one takes more of the disk and holds up the intake for longer: of 4,000 pages 10 ms, of 400 two; the CPU per message is the same. */
const logPagesMax = 400;

/**
 * Returns what brings the write-ahead log into the file once it is long, behind what is under way; to be called after each commit. SQLite by
 * itself does so in the commit that makes it long, so that the acknowledgements of that group wait for thousands of pages and an fsync more.
 */
function logBringer(db: Database, clock: Clock): () => void {
  db.run("PRAGMA wal_autocheckpoint = 0");
  const state = db.query<{ log: number; checkpointed: number }, []>("PRAGMA wal_checkpoint(NOOP)");
  let timer: Timer | undefined;

  /** If the disk cannot be written now, or the file was closed meanwhile, whoever writes next finds out. */
  function attemptTo(work: () => void): void {
    try {
      work();
    } catch {}
  }

  function bring(): void {
    timer = undefined;
    attemptTo(() => db.query("PRAGMA wal_checkpoint(PASSIVE)").all());
  }

  return () =>
    attemptTo(() => {
      const { log, checkpointed } = state.get() ?? { log: 0, checkpointed: 0 };
      if (log - checkpointed >= logPagesMax) timer ??= clock.after(0, bring);
    });
}

export interface Floor {
  readonly db: Database;
  readonly dataDir: string;
  readonly freeBytesMin: number;
  readonly clock: Clock;
}

/** Others write to the disk too: what it had free is believed for so long. */
const believedMs = 1_000;
/** Of what it had free above the floor, so much may be appended before it is asked again; the write-ahead log takes as much once more. */
const believedShare = 1 / 8;

/**
 * Keeps some bytes free: a disk that is full to the last byte has no room even for the note that something was
 * trimmed. The disk is not asked per group while it is far from that.
 * @returns a check of `bytes` more that throws SpoolFull if they would leave less than `freeBytesMin`; free pages of the file count as free
 */
export function reserveFreeSpace(
  { db, dataDir, freeBytesMin, clock }: Floor,
  free = () => freeBytes(db, dataDir),
): (bytes: number) => void {
  let believedBytes = 0;
  let askedMs = Number.NEGATIVE_INFINITY;

  function hasRoom(bytes: number): boolean {
    const room = free() - freeBytesMin - bytes;
    believedBytes = room * believedShare;
    askedMs = clock.monoMs();
    return room >= 0;
  }

  return (bytes) => {
    if (freeBytesMin === 0) return;
    believedBytes -= bytes;
    if (believedBytes >= 0 && clock.monoMs() - askedMs < believedMs) return;
    if (hasRoom(bytes)) return;
    truncateWal(db);
    if (hasRoom(bytes)) return;
    throw new SpoolFull(
      "disk_low",
      `the disk of ${dataDir} has ${size(free())} free and must keep ${size(freeBytesMin)} (SPOOL_MIN_FREE_BYTES)`,
    );
  };
}

/** Bytes that are free on the spool's disk; free pages of its file count as free. */
export function freeBytes(db: Database, dataDir: string): number {
  return freeBytesOn(dataDir) + freePages(db) * pageBytes;
}

/**
 * Shrinks the write-ahead log. The log of what was delivered long ago may be what fills the disk: while nothing is
 * appended nothing else would shorten it, and the intake would be held for ever. Does not wait for others who read
 * the file.
 */
function truncateWal(db: Database): void {
  try {
    db.run("PRAGMA busy_timeout = 0");
    vacuum(db, "TRUNCATE");
  } catch {
    // The disk cannot be written at all: the caller finds as little space as before.
  } finally {
    db.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  }
}

/** Gives free pages back to the file system, some at a time, while there are many. */
export function giveBack(db: Database): void {
  try {
    if (freePages(db) > freePagesKept) vacuum(db, "PASSIVE");
  } catch {
    // The disk cannot be written now; this is tried again in a second.
  }
}
