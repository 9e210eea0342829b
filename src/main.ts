/**
 * argv in, exit code out. This is the only place that ends the process or listens to its signals.
 *
 * The first SIGINT or SIGTERM asks the command to finish (but for those that are one piece of work, below); a second ends the process
 * at once. Both are safe, as is a crash: what was acknowledged is on disk. So an unexpected error ends the process, for a clean start, instead of
 * being ignored. One Ctrl-C may arrive twice, from the terminal and passed on by `bun run` or npx: a signal within a
 * moment of the first counts as the same.
 */
import { isatty } from "node:tty";
import { execute } from "./cli/index.ts";
import type { Process } from "./cli/command.ts";
import { beginWithSettings } from "./cli/engine-settings.ts";
import { goPastProxies } from "./core/net/proxies.ts";
import { toStandardError, toStandardOutput } from "./cli/output.ts";
import { unreadableWord } from "./cli/unreadable.ts";
import { logForm } from "./core/log/form.ts";
import { createLog, explain, logWritten } from "./core/log/log.ts";

const unreadable = unreadableWord(process.argv.slice(2));
if (unreadable !== undefined) {
  toStandardError(unreadable);
  process.exit(2);
}
beginWithSettings(process.argv.slice(2), process.env);
goPastProxies(process.env);
// The runtime would check no certificate if its environment says so, in silence.
process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "1";

/** Files that are written hold payloads, so only our own user and group may read them, whoever made the directory. */
process.umask(process.umask() | 0o027);

/** How long the end of the process waits for the reader of the log. */
const logPatienceMs = 1_000;

/** No hand presses Ctrl-C twice within this time; a parent passes a signal on within milliseconds. */
const sameSignalMs = 300;

const stop = new AbortController();
let stoppedAtMs = 0;

function stopOn(signal: "SIGINT" | "SIGTERM" | "SIGHUP", number: number): void {
  process.on(signal, () => {
    if (!stop.signal.aborted) {
      stoppedAtMs = performance.now();
      stop.abort(signal);
    } else if (performance.now() - stoppedAtMs > sameSignalMs) process.exit(128 + number);
  });
}
/** Each is one piece of work, during which no handler of a signal would be called; wherever it is ended, the spool is as it was. */
const isWithoutPause = ["spool", "backup"].includes(process.argv[2] ?? "");
if (!isWithoutPause) {
  stopOn("SIGINT", 2);
  stopOn("SIGTERM", 15);
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

function terminalSize() {
  const [columns, rows] = process.stdout.getWindowSize();
  return { columns, rows };
}

const context: Process = {
  env: process.env,
  uid: process.getuid?.(),
  stdout: toStandardOutput,
  stderr: toStandardError,
  signal: stop.signal,
  // From a terminal it says that the terminal has gone; a service is asked to read its files again.
  onHangup: (run) => (isatty(2) ? stopOn("SIGHUP", 1) : process.on("SIGHUP", run)),
  isTerminal: isatty(2),
  isOutputTerminal: isatty(1),
  columns: isatty(1) ? process.stdout.columns : undefined,
  ...(isatty(1) && { terminalSize }),
  createLog: logTo,
};

const code = await execute(process.argv.slice(2), context);
await logWritten(logPatienceMs);
process.exit(code);
