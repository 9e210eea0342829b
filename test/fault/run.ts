/**
 * Every fault against the compiled executable, real Mosquitto and real PostgreSQL; a table at the end, exit code 1 unless
 * every row holds.
 *
 *   bun run test:fault [--only NAME[,NAME…]] [--minutes N] [--few] [--markdown] [--seed N]
 *
 * --minutes: goes round again until so many have passed, and adds up. --few: as often as in CI. --markdown: the table as
 * docs/faults.md has it. Names are listed by --only with a name that does not exist. SLUICE_EXECUTABLE names another executable than dist/sluice.
 */
import { parseArgs } from "node:util";
import type { Fault, Row } from "./fault.ts";
import { faults } from "./faults/index.ts";
import { createRunner } from "./runner.ts";
import { added, formatTable } from "./table.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    minutes: { type: "string", default: "0" },
    few: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
    seed: { type: "string", default: String(Date.now() % 1e9) },
  },
});

const chosen = choose(values.only?.split(","));
const end = performance.now() + Number(values.minutes) * 60_000;
const rows = new Map<string, Row>();
const skipped: string[] = [];
const runner = createRunner();
console.error(`seed ${values.seed}`);
for (let round = 0; round === 0 || performance.now() < end; round++) {
  for (const fault of chosen) await one(fault, round);
}
await runner.close();
console.log(formatTable([...rows.values()], values.markdown));
for (const line of skipped) console.log(`skipped: ${line}`);
const bad = [...rows.values()].filter(({ problems }) => problems.length > 0);
for (const { fault, problems } of bad) console.log(`failed: ${fault.name}\n  ${problems.join("\n  ")}`);
process.exit(bad.length > 0 || rows.size === 0 ? 1 : 0);

async function one(fault: Fault, round: number): Promise<void> {
  const times = values.few ? fault.few : fault.many;
  if (times === 0) return;
  const why = fault.prepare?.() ?? "";
  if (why !== "") {
    if (round === 0) skipped.push(`${fault.name}: ${why}`);
    return;
  }
  const from = performance.now();
  const row = await runner.run(fault, times, Number(values.seed) + round);
  fault.done?.();
  const seconds = Math.round((performance.now() - from) / 1000);
  console.error(`${row.problems.length === 0 ? "ok    " : "FAILED"} ${fault.name}, ${seconds} s`);
  const before = rows.get(fault.name);
  rows.set(fault.name, before ? added(before, row) : row);
}

function choose(names: readonly string[] | undefined): readonly Fault[] {
  if (names === undefined) return faults;
  const unknown = names.filter((name) => !faults.some((fault) => fault.name === name));
  if (unknown.length > 0) {
    console.error(`no fault ${unknown.join(", ")}; there are: ${faults.map(({ name }) => name).join(" ")}`);
    process.exit(2);
  }
  return faults.filter(({ name }) => names.includes(name));
}
