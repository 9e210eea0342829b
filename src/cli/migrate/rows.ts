/**
 * Rows of the local store on their way into PostgreSQL: as few statements as it takes them, and a note of how far they have come, which is
 * written in the same transaction.
 */
import { inHalves } from "../../store/postgres/halves.ts";
import { insertOf, literal, type Row } from "../../store/postgres/literals.ts";
import {
  serverError,
  type Postgres,
  type ServerError,
  type Transaction,
} from "../../store/postgres/postgres-client.ts";
import { isOfTable, isPassing, lacksPartition } from "../../store/postgres/postgres-words.ts";
import type { Note } from "../../store/postgres/trial.ts";

/** Most rows of one statement. */
export const batchRows = 2_000;
const batchChars = 4_000_000;

/** The first rows, as many as fit one statement; no more are read, for of large ones some thousand do not fit the memory. */
export function bounded<T extends Row>(rows: Iterable<T>): readonly T[] {
  const batch: T[] = [];
  let chars = 0;
  for (const row of rows) {
    for (const value of Object.values(row)) chars += String(value).length;
    if (batch.length > 0 && chars > batchChars) break;
    batch.push(row);
  }
  return batch;
}

/**
 * Puts all rows but those that the server refuses. An error that concerns the table or the server ends the move, which the next run
 * continues.
 * @param columns what is inserted of them
 * @param put a part of them, or none, in one transaction; how many were stored
 * @param passOver a row that was refused, and PostgreSQL's words
 */
export async function putRows<R extends Row>(
  rows: readonly R[],
  columns: readonly string[],
  put: (rows: readonly R[]) => Promise<number>,
  passOver: (row: R, why: string) => unknown,
): Promise<number> {
  const stored = await inHalves(
    rows,
    async (part) => [await put(part)],
    (row, error) => passOver(row, wordsOf(error)),
    (server) =>
      isPassing(server.code) ||
      isOfTable(server.code) ||
      lacksPartition(noteOf(server)) ||
      wantsMore(server, columns),
  );
  return stored.reduce((sum, n) => sum + n, 0);
}

/** A column that is not inserted must not be null, as one of the site's own, or `id` without its default: so it is with every row. */
function wantsMore({ code, column_name: column }: ServerError, columns: readonly string[]): boolean {
  return code === "23502" && column !== undefined && !columns.includes(column);
}

/** As a trial notes it. */
function noteOf({
  code,
  message,
  detail = "",
  table_name: table = "",
  constraint_name: rule,
}: ServerError): Note {
  return { code, message, detail, table: rule === undefined ? table : "" };
}

function wordsOf(error: unknown): string {
  const { message, code } = serverError(error) ?? {};
  return `${message} (${code})`;
}

/** @returns how many were inserted, or changed by `conflict` */
export async function insert(
  tx: Transaction,
  table: string,
  columns: readonly string[],
  rows: readonly Row[],
  conflict = "",
): Promise<number> {
  const { count } = await tx.unsafe(`${insertOf(table, columns, rows)} ${conflict}`);
  return count;
}

/** How far an earlier try came, and how many rows it left behind. As one request, which Pgpool-II leaves to the primary: a standby may be behind. */
export async function noted(db: Postgres, epoch: string): Promise<{ seq: number; refused: number }> {
  const [row] = await db.ask<{ seq: string; refused: string }>(
    "asking how far the move is",
    `select seq, refused from sluice_position where epoch = ${literal(epoch)}`,
  );
  return { seq: Number(row?.seq ?? 0), refused: Number(row?.refused ?? 0) };
}

/** `seq`: all up to this row of the local file has moved; `refused`: how many more were left behind. */
export function putNote(tx: Transaction, epoch: string, seq: number, refused = 0) {
  return tx`insert into sluice_position (epoch, gateway_id, seq, delivered, ignored, refused, skipped, updated_at)
    values (${epoch}, 'move', ${seq}, 0, 0, ${refused}, 0, now())
    on conflict (epoch) do update set seq = excluded.seq, refused = sluice_position.refused + excluded.refused,
      updated_at = excluded.updated_at`;
}
