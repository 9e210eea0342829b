/** A context for one command run in the test's own process: what it writes is kept, and it can be interrupted. */
import { silentLog } from "../../src/core/log/log.ts";
import type { Command, Context } from "../../src/cli/command.ts";

export interface Trial {
  readonly context: Context;
  readonly out: string[];
  readonly err: string[];
  /** Interrupts the command as Ctrl-C does. */
  readonly interrupt: () => void;
  /** Options in the form in which commander passes them. */
  readonly run: (command: Command, options: Readonly<Record<string, string | true>>) => Promise<number>;
}

export function trial(): Trial {
  const out: string[] = [];
  const err: string[] = [];
  const stop = new AbortController();
  const context: Context = {
    env: {},
    stdout: (text) => void out.push(text),
    exact: (text) => void out.push(text),
    drawn: (text) => void out.push(text),
    stderr: (text) => void err.push(text),
    signal: stop.signal,
    createLog: () => silentLog,
  };
  return {
    context,
    out,
    err,
    interrupt: () => stop.abort(),
    run: async (command, options) => command.run(context, {}, options),
  };
}
