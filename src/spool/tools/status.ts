/** What a spool's file says about itself, read beside a running gateway: it may lag a second behind the gateway. */
import { rowBytes } from "../groups.ts";
import type { Database } from "bun:sqlite";
import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Totals } from "../../core/sink.ts";
import { isDiskFull } from "../../core/file/sqlite.ts";
import { explain } from "../../core/log/log.ts";
import { freeBytes } from "../disk.ts";
import { headOf } from "../open.ts";
import { booksIn } from "../sidecar.ts";
import { withFile } from "./spool-file.ts";
import { lockSpool, SpoolInUse } from "../lock.ts";

export interface SinkStatus extends Totals {
  readonly sink: string;
  /** Everything up to this seq is settled, except what waits on detours. */
  readonly seq: number;
  /** Entries not yet settled, those of detours included. */
  readonly waiting: number;
  readonly detours: readonly { lane: string; seq: number; waiting: number }[];
  readonly deadLetters: number;
}

export interface SpoolStatus {
  readonly path: string;
  readonly inUse: boolean;
  /** The last seq ever given. */
  readonly head: number;
  /** The oldest seq held; head + 1 if none is. */
  readonly first: number;
  readonly groups: number;
  readonly entries: number;
  /** As counted against SPOOL_MAX_BYTES, approximately. */
  readonly bytes: number;
  readonly oldestReceivedMs: number | null;
  readonly newestReceivedMs: number | null;
  readonly sinks: readonly SinkStatus[];
  readonly deadLetters: number;
  readonly books: Readonly<Record<string, number>>;
  readonly files: readonly { path: string; bytes: number }[];
  /** Free pages of the file count as free. */
  readonly diskFreeBytes: number;
}

/** @throws if there is no spool, or it cannot be read */
export function spoolStatus(dataDir: string): SpoolStatus {
  return withFile(dataDir, (db, path) => {
    try {
      const contents = db.transaction(() => contentsOf(db))();
      return { path, inUse: isInUse(dataDir), ...contents, ...spaceOf(db, path) };
    } catch (cause) {
      throw new Error(
        `${path} cannot be read (${explain(cause)}): see what \`sluice spool verify\` says of it`,
        { cause },
      );
    }
  });
}

function contentsOf(db: Database) {
  const groups = db
    .query<
      {
        first: number | null;
        groups: number;
        entries: number;
        bytes: number;
        oldest: number;
        newest: number;
      },
      []
    >(
      `SELECT (SELECT last - count + 1 FROM groups ORDER BY last LIMIT 1) AS first,
         count(*) AS groups, coalesce(sum(count), 0) AS entries, coalesce(sum(${rowBytes}), 0) AS bytes,
         min(received_ms) AS oldest, max(received_ms) AS newest FROM groups`,
    )
    .get();
  const head = headOf(db);
  const letters = db.query<{ sink: string; n: number }, []>(
    "SELECT sink, count(*) AS n FROM dead_letters GROUP BY sink",
  );
  const lettersOf = new Map(letters.all().map(({ sink, n }) => [sink, n]));
  return {
    head,
    first: groups?.first ?? head + 1,
    groups: groups?.groups ?? 0,
    entries: groups?.entries ?? 0,
    bytes: groups?.bytes ?? 0,
    oldestReceivedMs: groups?.oldest ?? null,
    newestReceivedMs: groups?.newest ?? null,
    sinks: sinksOf(db, head, lettersOf),
    deadLetters: [...lettersOf.values()].reduce((sum, n) => sum + n, 0),
    books: Object.fromEntries(booksIn(db)),
  };
}

/** Which sinks a spool knows, how far they are, and its last seq, without a look whether it is in use. No spool, or one that cannot be read: none. */
export function historyIn(dataDir: string) {
  return historyOf(dataDir) ?? { hasSink: () => false, cursorOf: () => ({ delivered: 0 }), head: 0 };
}

function historyOf(dataDir: string) {
  try {
    return withFile(dataDir, (db) => {
      const known = db
        .query<{ sink: string; delivered: number }, []>("SELECT sink, delivered FROM cursors")
        .all();
      const delivered = new Map(known.map((each) => [each.sink, each.delivered]));
      return {
        hasSink: (name: string) => delivered.has(name),
        cursorOf: (name: string) => ({ delivered: delivered.get(name) ?? 0 }),
        head: headOf(db),
      };
    });
  } catch {
    return undefined;
  }
}

type CursorRow = Omit<SinkStatus, "waiting" | "detours" | "deadLetters">;

function sinksOf(db: Database, head: number, letters: ReadonlyMap<string, number>): SinkStatus[] {
  const rows = db
    .query<CursorRow, []>("SELECT sink, seq, delivered, ignored, refused, skipped FROM cursors ORDER BY sink")
    .all();
  const detoursOf = db.query<{ lane: string; seq: number; waiting: number }, [string]>(
    "SELECT lane, seq, waiting FROM detours WHERE sink = ? ORDER BY lane",
  );
  return rows.map((row) => {
    const detours = detoursOf.all(row.sink);
    const waiting = head - row.seq + detours.reduce((sum, detour) => sum + detour.waiting, 0);
    return { ...row, waiting, detours, deadLetters: letters.get(row.sink) ?? 0 };
  });
}

function spaceOf(db: Database, path: string) {
  const files = [path, `${path}-wal`].filter((file) => existsSync(file));
  return {
    files: files.map((file) => ({ path: file, bytes: statSync(file).size })),
    diskFreeBytes: freeBytes(db, dirname(path)),
  };
}

function isInUse(dataDir: string): boolean {
  try {
    lockSpool(dataDir)();
    return false;
  } catch (error) {
    if (error instanceof SpoolInUse) return true;
    // The lock is had before there is something to write.
    if (isDiskFull(error)) return false;
    throw error;
  }
}
