/**
 * The log: JSON lines, nothing a message. pino writes in-process and synchronously; its worker transports do not
 * survive compilation into one executable.
 */
import pino from "pino";

export type Log = pino.Logger;
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** What waits while the log cannot be written; beyond it lines go missing. */
const waitingBytesMax = 1_000_000;

/** `fd`: 1 for a service whose log is its output, 2 where standard output belongs to a command's result. */
export function createLog(level: LogLevel, fd: 1 | 2 = 1): Log {
  const destination = pino.destination({ dest: fd, sync: true, maxLength: waitingBytesMax });
  // A full disk under the log is no reason to stop taking messages: the lines wait, and come when there is room.
  destination.on("error", () => {});
  return pino(
    {
      level,
      base: null,
      messageKey: "message",
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
    },
    destination,
  );
}

/** For tests and commands that report in their own words. */
export const silentLog: Log = pino({ level: "silent" });

/** An error's own words and those of its causes, without stack: what an operator can act on. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Bun asks the reader back where a connection is refused.
  const text = (error.message || error.name).replace(/Unable to connect\. Is .*\?$/, "cannot connect");
  return error.cause === undefined ? text : `${text}: ${explain(error.cause)}`;
}
