/** PostgreSQL's errors in words that an operator can act on, and which of them end by themselves. No DETAIL: it quotes rows. */
import type { Entry } from "../../core/entry.ts";
import { explain } from "../../core/log/log.ts";
import { isoOf } from "../../core/text/iso.ts";
import { isOfStandby, lockTimeout, serverError, type ServerError } from "./postgres-client.ts";
import { Outage } from "../../core/outage.ts";
import type { Note } from "./trial.ts";

/**
 * SQLSTATE classes of what may be over in a moment: connection, transaction rolled back, resources, object in use, operator,
 * system, internal.
 */
export function isPassing(code: string): boolean {
  return /^(08|40|53|55006|55P03|57|58|XX)/.test(code);
}

const noStandby =
  "DATABASE_URL must name a server that takes writes, not a standby: of several hosts target_session_attrs=read-write finds it";

const fixes: readonly (readonly [codes: RegExp, fix: string])[] = [
  [
    /^42501/,
    "grant the role of DATABASE_URL its rights (docs/postgresql.md), with row-level security a policy, too",
  ],
  [
    /^(42P01|3F)/,
    "`sluice migrate` makes tables that are missing; if they are there, the role of DATABASE_URL must see them (USAGE of their schema, search_path)",
  ],
  [/^2200H/, "the sequence has no number left: give the column and its sequence the type bigint"],
  [/^42703/, "add the column that is missing"],
  [/^42P10/, "give the table its primary key again, as after a restore that could not make it"],
  [/^42883/, "make what a trigger, a rule or a view calls, or take that away"],
  [/^25006/, noStandby],
  [
    /^25P04/,
    "give the role of DATABASE_URL a longer transaction_timeout: PG_TIMEOUT_MS ends what takes too long",
  ],
  [/^28/, "see to the role, its password and pg_hba.conf"],
  [/^3D/, "make the database or correct DATABASE_URL"],
];

/** What to do about an error that concerns the table or the server, whatever the row; undefined for all others. */
function fixOf(code: string): string | undefined {
  return fixes.find(([codes]) => codes.test(code))?.[1];
}

/** No transaction number is left (wraparound): its code, 54000, is that of a row that is too large for an index, too. */
export const isOutOfNumbers = ({ code, routine }: ServerError) =>
  code === "54000" && /^GetNew(Transaction|MultiXact)Id/.test(routine);

/** Of what refuses a connection; a statement may meet the same code for another cause. */
const connectionCures: Readonly<Record<string, string>> = {
  "53300":
    "raise max_connections, or the CONNECTION LIMIT of the role or the database, or end sessions of others",
  "55000": "let the database take connections: ALTER DATABASE … ALLOW_CONNECTIONS true",
};

/** The server refused a statement and goes on. Any other error says nothing about an entry. */
export function isOfStatement(error: unknown): boolean {
  const server = serverError(error);
  return server?.severity === "ERROR" && server.code !== lockTimeout && !isOutOfNumbers(server);
}

/** As `fixOf`, also of errors whose code has other causes. */
function cureOf(server: ServerError): string | undefined {
  if (isOfStandby(server)) return noStandby;
  if (isOutOfNumbers(server))
    return "end what is old in pg_stat_activity, pg_prepared_xacts and pg_replication_slots, then run `vacuumdb --all --freeze`";
  if (server.message.includes("statement pooling mode"))
    return "set pool_mode of the pooler to transaction or session, for rows and position are one transaction";
  // Before 14 "SSL off".
  if (server.code === "28000" && /(no encryption|SSL off)$/.test(server.message))
    return "if the server wants TLS add ?sslmode=require to DATABASE_URL, else see to pg_hba.conf";
  const cure = server.severity === "FATAL" ? connectionCures[server.code] : undefined;
  return cure ?? fixOf(server.code);
}

/** The error concerns the table or the server, whatever the row. */
export function isOfTable(code: string): boolean {
  return fixOf(code) !== undefined;
}

const deviceColumn = /\b(event_ts|topic|tenant_id|site_id|device_id|msg_type|reason|payload)\b/;

/**
 * A table of ours is divided by the time of arrival, and has no partition for the row's. The DETAIL names the key before its value, or
 * is the key alone (trial.ts); its words, and the message's, may be of any language (lc_messages).
 */
export function lacksPartition({ code, table, detail }: Note): boolean {
  if (code !== "23514" || !/^(raw|quarantine)_events$/.test(table)) return false;
  const [key = ""] = detail.split(" = (");
  return /\bingested_at\b/.test(key) && !deviceColumn.test(key);
}

/** A server's error that does not end by itself becomes an alarm with its fix; everything else stays what it is. */
export function asOutage(error: unknown): unknown {
  const server = serverError(error);
  if (error instanceof Outage || server === undefined) return error;
  const cure = cureOf(server);
  if (cure === undefined && isPassing(server.code)) return error;
  const words = `${explain(error)} (${server.code})`;
  const fix = cure ?? "`sluice check` says what stands in the way";
  return new Outage(words.includes("`sluice") ? words : `${words}: ${fix}`, { alarm: true });
}

/** With the cure behind it, if there is one. */
export function withCure(error: unknown): unknown {
  const server = serverError(error);
  const cure = server && cureOf(server);
  return cure === undefined ? error : new Error(`${explain(error)} (${server?.code}): ${cure}`);
}

/** An entry stays where it is, because nothing proves that its table would take any other, or what came in its time. */
export function unproven({ seq, receivedMs }: Entry, note: Note, tries: number): Outage {
  const { code, message, table } = note;
  const fix = fixOf(code);
  // Also any other number's, so it says nothing about the table where other entries pass.
  const perhaps =
    code === "22003" ? " (if it is the number of the row: give the column id the type bigint)" : "";
  const words = `${message} (${code})${perhaps}`;
  if (fix !== undefined) return new Outage(`PostgreSQL: ${words}: ${fix}`, { alarm: true });
  const [what, cure] = lacksPartition(note)
    ? [`has no partition of ${table} for ${isoOf(receivedMs)}, when entry ${seq} came`, "Make that partition"]
    : [`refuses entry ${seq}, and no entry behind it shows that the table takes any`, "Fix the table"];
  return new Outage(
    `PostgreSQL ${what}: ${words}. ${cure}, or set the entry aside: \`sluice dead-letters set-aside --sink postgres\``,
    { alarm: tries >= triesBeforeAlarm, retryMaxMs: unprovenRetryMaxMs },
  );
}

/** A lone refused entry is no alarm while the next one may settle it. */
const triesBeforeAlarm = 5;
/** The entry that settles it may come at any time, and everything waits for it. */
const unprovenRetryMaxMs = 5_000;

/** For the dead letter, whose words are logged too. Only the DETAIL of 22P05 quotes nothing but the character that is meant. */
export function refusalWords({ code, message, detail }: Note): string {
  return code === "22P05" && detail !== "" ? `${code} ${message} (${detail})` : `${code} ${message}`;
}
