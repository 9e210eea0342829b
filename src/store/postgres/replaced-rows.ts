/**
 * The rows of quarantine_events that replayed messages take the place of. They go in the transaction that stores the messages, all by one
 * statement. If that is refused, or a row stays in silence, a block on the server removes each by itself to find those that stay, in a
 * transaction that is rolled back.
 */
import type { Replaced } from "../../core/position.ts";
import { timeText } from "../rows.ts";
import type { Commit } from "../tables-sink.ts";
import { arrayText, literal } from "./literals.ts";
import { rehearsal, serverError, type Postgres, type Transaction } from "./postgres-client.ts";
import { isOfStatement, isOfTable, isPassing } from "./postgres-words.ts";

/** One at least of these rows stays although it was removed: a trigger, a policy or a foreign key keeps it. */
class RowsKept extends Error {
  readonly claims: readonly Replaced[];
  constructor(claims: readonly Replaced[], why: string) {
    super(why);
    this.claims = claims;
  }
}

const silently = "a trigger or a policy for delete is in the way";

/** Who would take the place of a row that stays is refused: to store him beside it would be to store him again at the next replay. */
export const refusingKept =
  (db: Postgres, commit: Commit): Commit =>
  async (entries, refusals) => {
    try {
      return await commit(entries, refusals);
    } catch (error) {
      const kept = error instanceof Error && error.cause;
      if (!(kept instanceof RowsKept)) throw error;
      const whys = await whysOf(db, kept);
      const refused = entries.flatMap(({ seq, returned }) => {
        const why = whys.get(returned?.quarantineId ?? -1);
        return why === undefined
          ? []
          : [[seq, `quarantine_events keeps the row that this takes the place of: ${why}`] as const];
      });
      return commit(entries, new Map([...refusals, ...refused]));
    }
  };

const isOf = (alias: string) =>
  `q.id = ${alias}.id and date_trunc('milliseconds', q.ingested_at) = ${alias}.received`;

function replacedRows(claims: readonly Replaced[]): string {
  const ids = claims.map(({ id }) => id);
  const times = claims.map(({ receivedMs }) => timeText(receivedMs, 0));
  return `unnest(${literal(arrayText(ids))}::bigint[], ${literal(arrayText(times))}::timestamptz[]) as r (id, received)`;
}

/** Removes the rows that entries replace. @returns the ids of those that were there */
export async function claim(tx: Transaction, claims: readonly Replaced[]): Promise<number[]> {
  if (claims.length === 0) return [];
  const replaced = replacedRows(claims);
  const statements = [
    `delete from quarantine_events as q using ${replaced} where ${isOf("r")} returning q.id`,
    // What is deferred would be told at the COMMIT, where nothing tells that it is about these rows. It holds for the rest of the batch, too.
    "set constraints all immediate",
    `select q.id from quarantine_events as q, ${replaced} where ${isOf("r")}`,
  ];
  const results = await tx.unsafe<{ id: string }[][]>(statements.join(";\n")).catch((error: unknown) => {
    const { code = "", message = "" } = serverError(error) ?? {};
    if (!isOfStatement(error) || isOfOthers(code)) throw error;
    throw new RowsKept(claims, `${message} (${code})`);
  });
  const [gone = [], left = []] = results.map((rows) => rows.map(({ id }) => Number(id)));
  if (left.length > 0) throw new RowsKept(claims, silently);
  return gone;
}

/** It says nothing about a row. */
const isOfOthers = (code: string) => isPassing(code) || isOfTable(code);

const block = (claims: readonly Replaced[]) => `do $block$
declare
  r record;
  kept json[] := '{}';
begin
  set constraints all immediate;
  for r in select * from ${replacedRows(claims)} loop
    begin
      delete from quarantine_events as q where ${isOf("r")};
      perform from quarantine_events as q where ${isOf("r")};
      if found then kept := array_append(kept, json_build_array(r.id, '', '')); end if;
    exception when others or assert_failure then
      kept := array_append(kept, json_build_array(r.id, sqlstate, left(sqlerrm, 300)));
    end;
  end loop;
  perform set_config('sluice.kept', array_to_json(kept)::text, true);
end $block$`;

/** Why rows stay, by their ids; if each goes by itself, all stay for what keeps them together. */
async function whysOf(db: Postgres, { claims, message }: RowsKept): Promise<ReadonlyMap<number, string>> {
  let kept: [id: number, code: string, message: string][] = [];
  await rehearsal(db, "finding the rows that stay by PL/pgSQL", async (tx) => {
    await tx.unsafe(block(claims));
    const [row] = await tx.unsafe<{ kept: string }[]>("select current_setting('sluice.kept') as kept");
    kept = JSON.parse(row?.kept ?? "[]") as typeof kept;
  });
  const passing = kept.find(([, code]) => isOfOthers(code));
  if (passing) throw new Error(`PostgreSQL: ${passing[2]} (${passing[1]})`);
  if (kept.length === 0) return new Map(claims.map(({ id }) => [id, message]));
  return new Map(kept.map(([id, code, words]) => [id, code === "" ? silently : `${words} (${code})`]));
}
