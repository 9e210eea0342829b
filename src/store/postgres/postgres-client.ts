/**
 * PostgreSQL as Sluice uses it: postgres.js with the options that keep it honest, and a deadline around every call.
 *
 * A server may accept and never answer, a firewall may swallow a connection, a backend may be killed: postgres.js then
 * leaves a promise pending for ever. So at the deadline the client is abandoned with all its connections, and the next call
 * starts on a new one. `max_pipeline: 1` avoids the known ways to lose a query. patches/ fixes the one in COPY (the promise of a
 * COPY that the server refuses never settled) and every error that was thrown with nobody listening, which ends the process
 * (test/store/postgres/hostile.test.ts). Statements are not prepared: that survives a pooler and a restart. Of idle connections patches/ has
 * the one used last go on, which is warm at both ends; the library took them in turn, so that all of a rush stayed and none was.
 *
 * A server may be far away, so what needs no answer in between goes as one request: `opening` along with BEGIN, by `send` many
 * statements with the data of their COPYs and, if it is the last, the COMMIT, and by `request` all of it (patches/ teaches it to postgres.js). PostgreSQL passes over
 * whatever follows a statement that it refuses, data included. Rejected alternatives: Bun.SQL, since one driver for look-ups and COPY
 * is simpler to watch; several requests in flight, since an error in the middle then belongs to whoever reads it first.
 */
import { isAbsolute } from "node:path";
import postgres from "postgres";
import { systemClock, withDeadline, type Clock } from "../../core/clock.ts";
import { boundsOf, queryBoundsOf } from "./bounds.ts";
import { createTurns } from "../../core/turns.ts";
import type { CopyData } from "./copy.ts";
import { parsePostgresUrl, placeOf, postgresUrl, tlsOf } from "./url.ts";
import { integer, optionalString, type Values } from "../../core/settings.ts";

export const postgresSettings = {
  url: optionalString({
    name: "DATABASE_URL",
    unit: "url",
    secret: true,
    check: postgresUrl,
    help: "PostgreSQL for the registry and the tables; without it both live in a local SQLite file. As libpq reads it: several hosts, a socket directory, sslmode, sslrootcert, sslcert, sslkey, target_session_attrs.",
  }),
  poolMax: integer({
    name: "PG_POOL_MAX",
    default: 10,
    min: 2,
    max: 1000,
    unit: "connections",
    help: "Most connections to PostgreSQL at a time, besides the one that listens for changes.",
  }),
  timeoutMs: integer({
    name: "PG_TIMEOUT_MS",
    default: 10_000,
    min: 100,
    max: 600_000,
    unit: "ms",
    help: "How long PostgreSQL may take for one query or one transaction before it counts as away.",
  }),
};

export type Sql = postgres.Sql;
export type Transaction = postgres.TransactionSql;

/** What patches/ adds to `begin`. */
interface Opens {
  begin<T>(
    options: string,
    work: (tx: Transaction, opened: readonly Rows[]) => Promise<T>,
    opening: readonly string[],
  ): Promise<T>;
  /** Without `work`: the statements end the transaction. */
  begin(
    options: string,
    work: null,
    statements: readonly string[],
    copies: Iterable<Buffer>,
  ): Promise<Rows[]>;
}

/** Of one statement, by column. */
export type Rows = readonly Readonly<Record<string, unknown>>[];

export interface PostgresOptions extends Pick<Values<typeof postgresSettings>, "poolMax" | "timeoutMs"> {
  /** Read at each use: it may be renewed. */
  readonly url: string;
  readonly clock?: Clock;
  /** Rows of this site are in its PostgreSQL already: tables that are missing there are not ours to begin anew. */
  readonly ranHere?: boolean;
}

export interface Postgres {
  /** host:port/database, without user and password. */
  readonly place: string;
  readonly options: PostgresOptions;
  /** What people and pages read, over half of the connections at most. It is tried once more if its connection was lost. A standby takes it, too. */
  query<T>(what: string, work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** The same of a look-up, over any connection: one request, for one statement that returns rows. */
  ask<T extends Rows[number]>(what: string, statement: string): Promise<readonly T[]>;
  /**
   * One transaction, read committed. Rejects with the server's error as `cause`; whether it committed may then be unknown.
   * @param work may end it itself, by a `commit` that goes along with its last request
   * @param opening statements that go along with BEGIN; `work` gets their rows, one list per statement
   */
  transaction<T>(
    what: string,
    work: (tx: Transaction, opened: readonly Rows[]) => Promise<T>,
    opening?: readonly string[],
  ): Promise<T>;
  /** One transaction that is one request: BEGIN and COMMIT go along. */
  request(what: string, request: Request): Promise<void>;
  close(): Promise<void>;
}

export function openPostgres(options: PostgresOptions): Postgres {
  const clock = options.clock ?? systemClock;
  const { timeoutMs } = options;
  let { url } = options;
  let place = placeOf(parsePostgresUrl(url));
  let client = openClient(options);

  /** The client of the URL as it is now: a password may have been renewed. What is under way ends on the old connections. */
  function current(): Sql {
    if (url !== options.url) {
      ({ url } = options);
      place = placeOf(parsePostgresUrl(url));
      abandon(client);
    }
    return client;
  }

  function abandon(old: Sql): void {
    if (client === old) client = openClient(options);
    void end(old, timeoutMs);
  }

  async function call<T>(what: string, work: (sql: Sql) => Promise<T>): Promise<T> {
    const sql = current();
    // The server that is asked here: behind a new URL there is another.
    const at = place;
    let answered = false;
    const answer = work(sql).finally(() => void (answered = true));
    try {
      return await withDeadline(clock, timeoutMs, "the server", answer);
    } catch (cause) {
      if (!answered || isOfSession(serverError(cause))) abandon(sql);
      throw new Error(`PostgreSQL at ${at}, ${what}`, { cause });
    }
  }

  async function twice<T>(what: string, work: (sql: Sql) => Promise<T>): Promise<T> {
    try {
      return await call(what, work);
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      return call(what, work);
    }
  }

  const queryBounds = queryBoundsOf(timeoutMs);
  const inTurn = createTurns(Math.ceil(options.poolMax / 2));

  return {
    get place() {
      return place;
    },
    options,
    query(what, work) {
      const askedMs = clock.monoMs();
      return inTurn(() => {
        if (clock.monoMs() - askedMs > timeoutMs)
          throw new Error(
            `PostgreSQL at ${place}, ${what}: no connection was free to read within ${timeoutMs} ms`,
          );
        return twice(what, (sql) => opens(sql).begin(readCommitted, work, queryBounds));
      });
    },
    async ask<T extends Rows[number]>(what: string, statement: string) {
      const all = [...queryBounds, statement, "commit"];
      const results = await twice(what, (sql) => opens(sql).begin(readCommitted, null, all, []));
      // Of what returns no rows there is no result.
      return (results.at(-1) ?? []) as readonly T[];
    },
    transaction(what, work, opening = []) {
      const opened = (tx: Transaction, results: readonly Rows[]) =>
        work(tx, results.slice(results.length - opening.length));
      return call(what, (sql) => opens(sql).begin(isolation, opened, [...boundsOf(timeoutMs), ...opening]));
    },
    async request(what, { statements, copies }) {
      const all = [...boundsOf(timeoutMs), ...statements, "commit"];
      await call(what, (sql) => opens(sql).begin(isolation, null, all, messagesOf(copies)));
    },
    close: () => end(client, Math.min(timeoutMs, 5000)),
  };
}

const readCommitted = "isolation level read committed";
const isolation = `${readCommitted} read write`;
const opens = (sql: Sql) => sql as unknown as Opens;

const connectMaxSeconds = 5;
/** Shares of the deadline: each of several hosts gets one before the caller gives up, and the last one gets time to answer. */
const turnsOf = (hosts: number) => (hosts === 1 ? 1 : hosts + 1);

/** A bare client, for a connection that is watched by its owner. */
export function openClient(options: PostgresOptions, more: ClientOptions = {}): Sql {
  const url = parsePostgresUrl(options.url);
  const [first] = url.hosts;
  // max_pipeline is known to postgres.js and absent from its types, which a literal in the call would be held to.
  const known = {
    max: options.poolMax,
    max_pipeline: 1,
    backoff: () => 0.25,
    connect_timeout: Math.min(connectMaxSeconds, options.timeoutMs / 1000 / turnsOf(url.hosts.length)),
    idle_timeout: 60,
    max_lifetime: 1800,
    keep_alive: 15,
    prepare: false,
    fetch_types: false,
    onnotice: () => {},
    connection: { application_name: "sluice", TimeZone: "UTC", ...url.parameters },
    ...(first && isAbsolute(first.host)
      ? { path: `${first.host}/.s.PGSQL.${first.port}` }
      : { host: url.hosts.map(({ host }) => host), port: url.hosts.map(({ port }) => port) }),
    // Absent, postgres.js takes them from the system's user, as libpq does.
    ...(url.user !== null && { user: url.user }),
    ...(url.database !== null && { database: url.database }),
    pass: url.password,
    ssl: tlsOf(url.tls),
    ...(url.targetSessionAttrs !== null && { target_session_attrs: url.targetSessionAttrs }),
    ...more,
  };
  return postgres(known as unknown as postgres.Options<Record<string, never>>);
}

interface ClientOptions {
  readonly max?: number;
  /** seconds; null: never */
  readonly max_lifetime?: number | null;
  readonly idle_timeout?: number;
  readonly onclose?: () => void;
  /** Known to postgres.js, absent from its types. */
  readonly onnotify?: (channel: string, payload: string) => void;
}

/** Ends a client whatever state it is in; what still runs on it has `graceMs`. */
export async function end(sql: Sql, graceMs: number): Promise<void> {
  await sql.end({ timeout: graceMs / 1000 }).catch(() => {});
}

/** What goes to the server as one request. */
export interface Request {
  readonly statements: readonly string[];
  /** The data of each `COPY … FROM STDIN` among the statements. */
  readonly copies: readonly CopyData[];
}

/** @returns how many rows the first of the statements that counts any has written, if none of them returns rows */
export async function send(tx: Transaction, { statements, copies }: Request): Promise<number> {
  if (statements.length === 0) return 0;
  const options: { copies: Iterable<Buffer> } & postgres.UnsafeQueryOptions = { copies: messagesOf(copies) };
  const { count } = await tx.unsafe(statements.join(";\n"), [], options);
  return count;
}

const messagesOf = (copies: readonly CopyData[]) => copies.values().flatMap((copy) => copy);

class RolledBack extends Error {}

/** A transaction that is rolled back at its end: it shows what PostgreSQL says to `work`, and leaves nothing. @throws what `work` throws */
export async function rehearsal(
  db: Postgres,
  what: string,
  work: (tx: Transaction) => Promise<unknown>,
): Promise<void> {
  try {
    await db.transaction(what, async (tx) => {
      await work(tx);
      throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof Error && error.cause instanceof RolledBack)) throw error;
  }
}

export type ServerError = postgres.PostgresError;

/** The server's own error among the causes of `error`. */
export function serverError(error: unknown): ServerError | undefined {
  if (error instanceof postgres.PostgresError) return error;
  return error instanceof Error ? serverError(error.cause) : undefined;
}

/** So a standby refuses our BEGIN, whose code alone has many other causes, and a read-only server what writes. */
export const isOfStandby = (error: { readonly code: string; readonly routine?: string } | undefined) =>
  error?.code === "25006" || (error?.code === "0A000" && error.routine === "call_bool_check_hook");

/** A standby may be the former primary, whose name leads elsewhere by now, and a session's search_path is what it was when that began. */
const isOfSession = (error: ServerError | undefined) =>
  isOfStandby(error) || /^(42P01|3F000)$/.test(error?.code ?? "");

/** The backend was ended or the connection broke: classes 08 and 57P, and what the driver itself says. */
function isConnectionLost(error: unknown): boolean {
  const code = serverError(error)?.code;
  if (code !== undefined) return /^(08|57P)/.test(code);
  const { cause } = error as Error;
  return cause instanceof Error && "code" in cause && /^(CONNECTION_|ECONN|EPIPE)/.test(String(cause.code));
}

/** What the server calls it if a lock does not come in time: it says nothing of the row, nor of how it is written. */
export const lockTimeout = "55P03";
