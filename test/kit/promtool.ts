/** Prometheus' own tool, which says what is wrong with metrics and rules. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const binary = Bun.which("promtool");

/** "" if it is there, else why not. */
export const promtoolAbsent = binary === null ? "promtool is not installed (apt-get install prometheus)" : "";

/** What it says of them; "" if it has nothing to remark. */
export function checkMetrics(text: string): string {
  return run(["check", "metrics"], text);
}

/** Checks files of rules, or runs files of tests of rules; @returns what it says, "" if all is well. */
export function promtool(words: readonly string[], files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), "sluice-promtool-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    return run(words, "", directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function run(words: readonly string[], stdin: string, cwd = "."): string {
  const ended = Bun.spawnSync([binary ?? "promtool", ...words], { stdin: Buffer.from(stdin), cwd });
  const said = `${ended.stdout.toString()}${ended.stderr.toString()}`;
  return ended.exitCode === 0 && !/lint|warning/i.test(said) ? "" : `exit ${ended.exitCode}: ${said}`;
}
