/** A command in this process, as people and scripts see it: exit code and what it wrote. */
import type { Process } from "../../src/cli/command.ts";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log/log.ts";

export async function runCommand(
  words: readonly string[],
  given: Partial<Process> & Pick<Process, "env">,
): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const context: Process = {
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
    signal: new AbortController().signal,
    createLog: () => silentLog,
    ...given,
  };
  return { code: await execute(words, context), out, err };
}
