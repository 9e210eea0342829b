/**
 * The log: JSON lines, none per message. pino makes the lines and output.ts writes them; pino's own worker
 * transports do not survive compilation into one executable. Every text in a line is masked, whoever wrote it, and no
 * text can control a terminal.
 */
import pino from "pino";
import { descriptorsTrouble } from "../memory/descriptors.ts";
import { refusedText, unreachedText } from "../net/unreached.ts";
import type { LogForm } from "./form.ts";
import { logOutput, type LogOutput } from "./output.ts";
import { masked, maskedIn } from "../text/mask.ts";
import { printable } from "../text/terminal.ts";

export type Log = pino.Logger;
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** One output per descriptor, however many loggers write to it. */
const outputs = new Map<number, LogOutput>();

/** `fd`: 1 for a service whose log is its output, 2 if standard output belongs to the result of a command. */
export function createLog(level: LogLevel, fd: 1 | 2, form: LogForm): Log {
  const output = outputs.get(fd) ?? logOutput(fd, (count) => form(saysLost(count)));
  outputs.set(fd, output);
  return pino(
    {
      level,
      base: null,
      messageKey: "message",
      hooks: {
        logMethod(given, log) {
          Reflect.apply(log, this, given.map(maskedIn));
        },
      },
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    { write: (line: string) => output.write(form(printable(line))) },
  );
}

/** Lines of this process that were lost because nobody read the log or its disk was full. */
export function logLinesLost(): number {
  let lost = 0;
  for (const output of outputs.values()) lost += output.lost();
  return lost;
}

/**
 * Resolves once every line is written, at the latest after `maxMs`: a reader that stopped must not keep the process
 * from ending.
 */
export async function logWritten(maxMs: number): Promise<void> {
  await Promise.all([...outputs.values()].map((output) => output.drained(maxMs)));
}

function saysLost(count: number): string {
  const message = "log lines are lost: whatever reads the log did not keep up, or its disk was full";
  return `${JSON.stringify({ level: "warn", time: new Date().toISOString(), lost: count, message })}\n`;
}

/** For tests, and for commands that report in their own way. */
export const silentLog: Log = pino({ level: "silent" });

/**
 * The message of an error and those of its causes that it does not quote, masked, without stack: what an operator can
 * act on.
 */
export function explain(error: unknown): string {
  return masked(wordsOf(error));
}

/** Words of the runtime for who programs with it, and what an operator can act on. */
const plainer: readonly (readonly [theirs: RegExp, ours: string])[] = [
  [/ECONNREFUSED: (?:Unable to connect\. Is|Was there a typo in) .*\?$/, `it ${refusedText}`],
  [
    /(E(?:HOST|NET)UNREACH|ETIMEDOUT): (?:Unable to connect\. Is|Was there a typo in) .*\?$/,
    "it cannot be reached ($1): its host or the network is down",
  ],
  [/(?:Unable to connect\. Is|Was there a typo in) .*\?$/, "cannot connect"],
  [/getaddrinfo ENOTFOUND (\S+)$/, "the host name $1 does not resolve"],
  [/getaddrinfo EAI_AGAIN (\S+)$/, "the name server does not answer for $1"],
  [/(ECONNREFUSED|CONNECT_TIMEOUT) (\S*:\S*):(\d+)$/, "$1 [$2]:$3"],
  [/connect ECONNREFUSED (\S+)$/, `$1 ${unreachedText}`],
  [/connect ENOENT (\S+)$/, "there is no socket $1: no server listens there"],
  [/(?:read|write) (ECONNRESET|EPIPE)$/, "the connection was closed from there ($1)"],
  [/Malformed_HTTP_Response fetching .*$/, "what listens there does not speak HTTP"],
  [/write CONNECTION_CLOSED \S+$/, "the connection was closed from there"],
  [/write CONNECT_TIMEOUT (\S+)$/, "$1 does not answer, or not as PostgreSQL does"],
  [/a message of \d+ bytes \(B\) is not supported$/, "what listens there does not speak PostgreSQL"],
  [
    /^authentication \d+ \(B\) is not supported$/,
    "pg_hba.conf asks for a way to log in that Sluice does not have: use scram-sha-256",
  ],
  [/canceling statement due to lock timeout$/, "$&: another session holds a lock (pg_locks shows which)"],
  [/error:\w+:SSL routines:\w+:WRONG_VERSION_NUMBER$/, "what listens there does not speak TLS"],
  [
    /error:\w+:SSL routines:\w+:(?:SSLV3|TLSV1)_(?:ALERT_)?(\w*CERTIFICATE\w*|UNKNOWN_CA)$/,
    "the server refuses our client certificate, or wants one ($1)",
  ],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID fetching "https:\/\/([^"/]+).*$/,
    "the server's certificate is not for the host $1",
  ],
  [/(?<=^|: )certificate has expired$/, "the server's $&"],
  [/(?<=^|: )certificate is not yet valid$/, "the server's $&: check this host's clock"],
  [
    /^(?:FETCH|PRODUCE) timed out$/,
    "$&: over a slow line it is tried again in smaller pieces; if that lasts, set KAFKA_TIMEOUT_MS higher",
  ],
  [
    /ENOENT: no such file or directory, statfs '(.*)'$/,
    "there is no directory $1 any more: put it back (mount its disk), or stop this gateway",
  ],
  [/ENOTDIR: not a directory, \w+ '(.*)'$/, "there is no $1: a part of that path is a file"],
  [/ For more information, pass `verbose: true` .*$/, ""],
  [
    // Once: an outage quotes what was explained, and is explained in its turn.
    /(?<=^|: )(?:self.signed certificate|unable to (?:verify|get) .*certificate)(?!.*: no CA that).*$/i,
    "$&: no CA that we trust has signed it, so name its CA's file (a setting that ends in _TLS_CA; sslrootcert in DATABASE_URL)",
  ],
];
/** Bun says the same of a connection for which it had no descriptor. */
const looksRefused = /ECONNREFUSED|cannot connect/;

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = plainer.reduce(
    (said, [theirs, ours]) => said.replace(theirs, ours),
    error.message || error.name,
  );
  if (error.cause !== undefined) {
    const why = wordsOf(error.cause);
    return text.includes(why) ? text : `${text}: ${why}`;
  }
  const ours = looksRefused.test(text) ? descriptorsTrouble() : undefined;
  return ours === undefined || text.includes(ours) ? text : `${text}, since ${ours}`;
}
