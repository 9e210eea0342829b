/**
 * A trial: which entries does PostgreSQL refuse, each by itself? Everything is rolled back.
 *
 * A block on the server stores each entry in a subtransaction of its own and notes which were refused, with PostgreSQL's words. So a
 * trial is one transaction, however many are refused. It needs PL/pgSQL, which every database has unless somebody has removed it.
 * Rejected alternative: to halve a batch from here, which costs two transactions per refused entry; over a line of 20 ms that is half
 * an hour for 5,000. The statements travel as Base64 of their UTF-8, so that a character that the database's encoding does not have is
 * the fault of its own entry.
 */
import type { Entry } from "../../core/entry.ts";
import { type Postgres, rehearsal } from "./postgres-client.ts";
import { insertsOf, tablesOf } from "./write.ts";

/** Why an entry was refused. */
export interface Note {
  /** SQLSTATE */
  readonly code: string;
  readonly message: string;
  /** May quote the row. */
  readonly detail: string;
  /** Which table refused it, if none of its constraints did; "": any other error. */
  readonly table: string;
}

export interface Trial {
  /** By seq. */
  readonly refused: ReadonlyMap<number, Note>;
  /** In order. An entry that is in neither list was not tried: a cancelled statement ends a trial early. */
  readonly passed: readonly Entry[];
}

/** The server ends a trial before our own deadline does, so that it can say what it has found. */
const shareOfDeadline = 0.6;

/**
 * Deferred constraints are checked at once, to blame the entry that breaks them. The refused entries are tried again until none of them
 * passes: what refused them may have ended in between (a table was created, a constraint taken away), and once an entry has passed nobody
 * can change its table before the trial ends. But for the rights to it, which can be taken at any time: so if any are lacking (42501,
 * which a row's own fault may be called, too) one that has passed of each set of tables must pass again after each round, or
 * nothing has passed. A cancel (57014) says nothing about later entries. That a partition is missing PostgreSQL tells without the key if
 * the role may not read the table, or a policy binds it: then the key is looked up. Before 13 it tells the table in its message alone.
 */
const block = `do $block$
declare
  entries text[] := string_to_array(current_setting('sluice.trial'), ',');
  tried int := cardinality(entries);
  tables int[] := string_to_array(current_setting('sluice.tables'), ',');
  todo int[] := array(select generate_series(1, tried));
  witnesses int[];
  denied boolean := false;
  revoked text;
  refused int[];
  notes text[];
  cancelled text[] := '{}';
  at int;
  code text;
  message text;
  detail text;
  relation text;
  rule text;
  note text;
begin
  set constraints all immediate;
  loop
    refused := '{}';
    notes := '{}';
    foreach at in array todo loop
      begin
        execute convert_from(decode(entries[at], 'base64'), 'UTF8');
        witnesses[tables[at]] := at;
      exception when others or assert_failure or query_canceled then
        get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail,
          relation = table_name, rule = constraint_name;
        if code = '23514' and rule = '' and relation = '' and current_setting('server_version_num')::int < 130000 then
          relation := coalesce(substring(message from '\\m(?:raw|quarantine)_events\\M'), '');
        end if;
        if code = '23514' and rule = '' and detail = '' then
          detail := coalesce(pg_get_partkeydef(to_regclass(quote_ident(relation))), '');
        end if;
        note := json_build_array(at - 1, code, left(message, 300), left(detail, 300), case when rule = '' then relation else '' end)::text;
        if code = '57014' then
          tried := at;
          cancelled := array[note];
          exit;
        end if;
        denied := denied or code = '42501';
        refused := array_append(refused, at);
        notes := array_append(notes, note);
      end;
    end loop;
    foreach at in array case when denied then coalesce(array_remove(witnesses, null), '{}') else '{}'::int[] end loop
      begin
        execute convert_from(decode(entries[at], 'base64'), 'UTF8');
      exception when insufficient_privilege then revoked := sqlerrm;
        when others or assert_failure then null;
      end;
    end loop;
    exit when revoked is not null or refused = todo;
    todo := refused;
  end loop;
  perform set_config('sluice.trial', '[' || tried || ',[' || array_to_string(notes || cancelled, ',') || '],' ||
    coalesce(to_json(revoked)::text, 'null') || ']', true);
end $block$`;

export async function tryEach(db: Postgres, entries: readonly Entry[]): Promise<Trial> {
  if (entries.length === 0) return { refused: new Map(), passed: [] };
  let answer = "[0,[],null]";
  const kinds: string[] = [];
  const kindOf = (kind: string) => kinds.indexOf(kind) + 1 || kinds.push(kind);
  await rehearsal(db, "finding the refused entry by PL/pgSQL", async (tx) => {
    const statements = entries.map((entry) => Buffer.from(insertsOf(entry)).toString("base64"));
    await tx.unsafe(`set local statement_timeout = ${Math.ceil(db.options.timeoutMs * shareOfDeadline)}`);
    const tables = entries.map((entry) => kindOf(tablesOf(entry).join()));
    await tx.unsafe(
      `select set_config('sluice.trial', '${statements.join(",")}', true), set_config('sluice.tables', '${tables.join(",")}', true)`,
    );
    await tx.unsafe(block);
    const [row] = await tx.unsafe<{ answer: string }[]>("select current_setting('sluice.trial') as answer");
    answer = row?.answer ?? answer;
  });
  const [tried, notes, revoked] = JSON.parse(answer) as Answer;
  const all = entries.slice(0, tried);
  const refused = new Map<number, Note>();
  if (revoked !== null)
    for (const { seq } of all)
      refused.set(seq, { code: rightLacks, message: revoked, detail: "", table: "" });
  for (const [at, code, message, detail, table] of notes) {
    const entry = entries[at];
    if (entry) refused.set(entry.seq, { code, message, detail, table });
  }
  return { refused, passed: all.filter(({ seq }) => !refused.has(seq)) };
}

/** How many were tried, who of them was refused and why, and the right that was taken meanwhile. */
type Answer = [number, [number, string, string, string, string][], string | null];

const rightLacks = "42501";
