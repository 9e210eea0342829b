/**
 * argv in, exit code out. The only place that ends the process or listens to its signals.
 *
 * The first SIGINT or SIGTERM asks the command to finish; a second ends at once. Both are safe, as is a crash: what was
 * acknowledged is on the disk. So an error that nobody expected is not lived with, but ends the process for a clean start.
 * One Ctrl-C may come twice, from the terminal and passed on by `bun run` or npx: what comes within a moment of the first is the same.
 */
import { isatty } from "node:tty";
import { execute } from "./cli/index.ts";
import type { Process } from "./cli/command.ts";
import { toStandardError, toStandardOutput } from "./cli/output.ts";
import { logForm } from "./core/log-form.ts";
import { createLog, explain, logWritten } from "./core/log.ts";

/** What is written holds payloads: it is for our own user and group alone, whoever made the directory that it is in. */
process.umask(process.umask() | 0o027);

/** How long the end of the process waits for whatever reads the log. */
const logPatienceMs = 1_000;

/** A hand presses no faster; a parent passes on what it got within milliseconds. */
const sameSignalMs = 300;

const stop = new AbortController();
let stoppedAtMs = 0;

for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
] as const) {
  process.on(signal, () => {
    if (!stop.signal.aborted) {
      stoppedAtMs = performance.now();
      stop.abort(signal);
    } else if (performance.now() - stoppedAtMs > sameSignalMs) process.exit(128 + number);
  });
}

for (const event of ["uncaughtException", "unhandledRejection"] as const)
  process.on(event, (error: unknown) => void endWith(event, error));

const logTo: Process["createLog"] = (level, fd) => createLog(level, fd, logForm(fd, process.env));

async function endWith(event: string, error: unknown): Promise<void> {
  const stack = error instanceof Error ? error.stack : undefined;
  logTo("error", 2).error({ event, error: explain(error), stack }, "unexpected error, ending");
  await logWritten(logPatienceMs);
  process.exit(1);
}

const context: Process = {
  env: process.env,
  uid: process.getuid?.(),
  stdout: toStandardOutput,
  stderr: toStandardError,
  signal: stop.signal,
  isTerminal: isatty(2),
  isOutputTerminal: isatty(1),
  columns: isatty(1) ? process.stdout.columns : undefined,
  createLog: logTo,
};

const code = await execute(process.argv.slice(2), context);
await logWritten(logPatienceMs);
process.exit(code);
