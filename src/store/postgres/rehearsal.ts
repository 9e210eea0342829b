/**
 * Rehearses what a gateway will do to the tables, in a transaction that is rolled back: the only proof that it can. Rights, columns,
 * types, triggers, policies and poolers can stand in the way in more ways than a catalogue shows.
 *
 * The transaction first creates the tables that are missing, as the start of a gateway does, so that those of an existing deployment
 * are tried before that start. Nothing of it stays but one or two numbers of the sequences, which PostgreSQL does not take back.
 */
import { toFields } from "../../core/columns.ts";
import type { Entry } from "../../core/entry.ts";
import {
  lockTimeout,
  rehearsal,
  send,
  serverError,
  type ServerError,
  type Postgres,
  type Request,
  type Transaction,
} from "./postgres-client.ts";
import { createTables } from "./migrate.ts";
import { awaitsStandby } from "./postgres-position.ts";
import { isOutOfNumbers } from "./postgres-words.ts";
import { writeByCopy, writeByInsert } from "./write.ts";

export interface Rehearsed {
  /** What keeps the gateway from working, one sentence each; none: it can. */
  readonly problems: readonly string[];
  /** What an operator should know even if it can. */
  readonly remarks: string[];
}

type Found = { readonly problems: string[]; readonly remarks: string[] };

/** @param position writes a position of this epoch, as a batch does */
export async function rehearse(
  db: Postgres,
  position: (tx: Transaction, epoch: string) => Promise<unknown>,
): Promise<Rehearsed> {
  const found: Found = { problems: [], remarks: [] };
  await rehearsal(db, "rehearsing a batch", async (tx) => {
    await noCommitWaits(tx);
    await createTables(tx);
    found.remarks.push(...(await elsewhere(tx)));
    await store(tx, found, "raw_events", { kind: "event" });
    const reject = { kind: "reject", reason: "TOKEN_INVALID", receivedMs: Date.now() } as const;
    await store(tx, found, "quarantine_events", reject);
    // The first makes the count of its minute, this one changes it.
    if (found.problems.length === 0)
      await store(tx, found, "quarantine_counters_minute", { ...reject, payload: "" });
    await reads(tx, found, "raw_events");
    await removes(tx, found);
    await attempt(tx, found, "app_settings", (inner) => inner`select key, value from app_settings limit 1`);
    await attempt(tx, found, "sluice_position", (inner) => position(inner, "sluice-check"));
  });
  return found;
}

/** What is rolled back waits for no standby, so that is seen by the COMMIT of somebody else, such as a gateway. */
async function noCommitWaits(tx: Transaction): Promise<void> {
  const waiting = await tx`select 1 from pg_stat_activity
    where wait_event = 'SyncRep' and state_change < clock_timestamp() - interval '5 seconds' limit 1`;
  if (waiting.length > 0) throw new Error(awaitsStandby);
}

/** A foreign table commits at its own server, and before the position does; an unlogged one is emptied by a crash, which the position survives. */
async function elsewhere(tx: Transaction): Promise<string[]> {
  const rows = await tx<{ name: string; kind: string }[]>`
    select distinct t.oid::regclass::text as name, c.relkind as kind from pg_class c left join pg_inherits on inhrelid = c.oid
      join pg_class t on t.oid in (c.oid, inhparent)
    where (c.relkind = 'f' and t.oid in (to_regclass('raw_events'), to_regclass('quarantine_events')))
      or (c.relpersistence = 'u' and c.relkind = 'r' and t.oid in (to_regclass('raw_events'), to_regclass('quarantine_events'),
        to_regclass('sluice_position'), to_regclass('device_registry'))) order by 1`;
  return rows.map(({ name, kind }) =>
    kind === "f"
      ? `${name} lies at another server in whole or in part: if this one ends in a COMMIT, its rows may be there twice`
      : `${name} is unlogged in whole or in part: a crash of the server empties it, and a standby has nothing of it`,
  );
}

/** Stores an entry of a made-up device or, if a constraint wants a registered one, of a registered device. */
async function store(tx: Transaction, found: Found, table: string, changes: Partial<Entry>): Promise<void> {
  const madeUp = sample({
    tenantId: "sluice-check",
    deviceId: "sluice-check",
    siteId: "sluice-check",
    ...changes,
  });
  const error = await tried(tx, (inner) => written(inner, madeUp, found, table));
  if (error === undefined) return;
  if (!isOfTheRow(error)) return void found.problems.push(refusalWords(table, error));
  found.remarks.push(`${refusalWords(table, error)}: entries like it become dead letters`);
  const [device] = await tx<{ tenant_id: string; device_id: string; site_id: string }[]>`
    select tenant_id, device_id, site_id from device_registry order by tenant_id, device_id limit 1`;
  if (device === undefined) return;
  const real = sample({ ...toFields(device), ...changes });
  await attempt(tx, found, table, (inner) => written(inner, real, found, table));
}

/** Writes by COPY, else by INSERT, as the sink does. @throws the server's error; COPY's own if it is the same, for it names the column */
async function written(tx: Transaction, entry: Entry, found: Found, table: string): Promise<void> {
  let count = 0;
  const byCopy = await tried(tx, async (inner) => {
    count = await withConstraints(inner, writeByCopy([entry]));
  });
  if (byCopy === undefined) {
    if (count === 0) found.remarks.push(`${table}: ${keptOut}`);
    return;
  }
  const byInsert = await tried(tx, (inner) => withConstraints(inner, writeByInsert([entry])));
  if (byInsert !== undefined) throw byInsert.code === byCopy.code ? byCopy : byInsert;
  found.remarks.push(`${refusalWords(table, byCopy)}: rows are inserted one by one, which is slower`);
}

/** What a trigger does with a row nobody is told; it may be meant, as where one deals rows out to other tables. */
const keptOut =
  "a trigger keeps a row like those of a gateway out, or puts it into another table: all count as delivered";

const withConstraints = (tx: Transaction, { statements, copies }: Request) =>
  send(tx, { statements: [...statements, "set constraints all immediate"], copies });

/** Rows are stored without it, too; what needs it are holes between partitions (sieve.ts) and the latest values. */
async function reads(tx: Transaction, found: Found, table: string): Promise<void> {
  const error = await tried(tx, (inner) => inner.unsafe(`select 1 from ${table} limit 1`));
  if (error === undefined) return;
  found.remarks.push(`${refusalWords(table, error)}: entries wait for that right if a partition is missing`);
}

/** What is replayed or discarded leaves the table. What keeps it there keeps no entry out. */
async function removes(tx: Transaction, found: Found): Promise<void> {
  const table = "quarantine_events";
  await attempt(tx, found, table, (inner) => inner`delete from quarantine_events where false`);
  const madeUp = `${table} where id > (select max(id) - 100 from ${table}) and device_id = 'sluice-check'`;
  let left = 0;
  const error = await tried(tx, async (inner) => {
    await inner.unsafe(`delete from ${madeUp}`);
    left = (await inner.unsafe(`select 1 from ${madeUp} limit 1`)).length;
  });
  const why = error
    ? refusalWords(table, error)
    : `${table}: a trigger or a policy keeps a row that is removed`;
  if (error || left > 0)
    found.remarks.push(`${why}: what is replayed becomes a dead letter, what is discarded stays`);
}

async function attempt(
  tx: Transaction,
  found: Found,
  table: string,
  work: (tx: Transaction) => Promise<unknown>,
): Promise<void> {
  const error = await tried(tx, work);
  if (error !== undefined) found.problems.push(refusalWords(table, error));
}

/** Runs `work` in a savepoint. @returns the server's error; others are thrown, and what no table is at fault for */
async function tried(
  tx: Transaction,
  work: (tx: Transaction) => Promise<unknown>,
): Promise<ServerError | undefined> {
  try {
    await tx.savepoint(work);
    return undefined;
  } catch (error) {
    const server = serverError(error);
    if (server === undefined || isOfServer(server)) throw error;
    return server;
  }
}

/** Somebody else holds a lock just now, or the server's disk, memory or numbers are used up. */
const isOfServer = (server: ServerError) =>
  server.code === lockTimeout || server.code.startsWith("53") || isOutOfNumbers(server);

/** A constraint that refuses this row may take another: foreign key, unique, check, exclusion. A partition for now must be there. */
function isOfTheRow({ code, constraint_name: constraint, table_name: table }: ServerError): boolean {
  return /^23(503|505|514|P01)$/.test(code) && (constraint !== undefined || table === undefined);
}

function refusalWords(table: string, { code, message, where }: ServerError): string {
  // "COPY raw_events, line 1, column device_id: …": which column the words are about.
  const column = /column (\w+)/.exec(where ?? "")?.[1];
  const about = column !== undefined && !message.includes(column) ? `${table}.${column}` : table;
  return `${about}: ${message} (${code})`;
}

function sample(changes: Partial<Entry>): Entry {
  const nowMs = Date.now();
  return {
    seq: 0,
    kind: "event",
    receivedMs: nowMs,
    topic: "tenant/sluice-check/device/sluice-check/telemetry",
    tenantId: null,
    deviceId: null,
    msgType: "telemetry",
    siteId: null,
    eventMs: nowMs,
    eventNs: 0,
    reason: null,
    detail: null,
    tokenHash: null,
    returned: null,
    payload: '{"metrics":{}}',
    ...changes,
  } as Entry;
}
