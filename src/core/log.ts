/**
 * The log: JSON lines, nothing a message. pino writes in-process and synchronously; its worker transports do not
 * survive compilation into one executable.
 */
import pino from "pino";

export type Log = pino.Logger;
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** `fd`: 1 for a service whose log is its output, 2 where standard output belongs to a command's result. */
export function createLog(level: LogLevel, fd: 1 | 2 = 1): Log {
  return pino(
    {
      level,
      base: null,
      messageKey: "message",
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    pino.destination({ dest: fd, sync: true }),
  );
}

/** For tests and commands that report in their own words. */
export const silentLog: Log = pino({ level: "silent" });

/** An error's own words and those of its causes, without stack: what an operator can act on. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.message || error.name;
  return error.cause === undefined ? text : `${text}: ${explain(error.cause)}`;
}
