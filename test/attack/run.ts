/**
 * Every attack against the compiled executable under a memory limit; a table at the end, exit code 1 unless every row holds.
 *
 *   bun run test:attack [--only NAME[,NAME…]] [--few] [--markdown]
 *
 * --few: as often as in CI. How to add an attack stands in attack.ts. SLUICE_EXECUTABLE names another executable than dist/sluice.
 */
import { parseArgs } from "node:util";
import { createRunner } from "../fault/runner.ts";
import { faultOf } from "./attack.ts";
import { attacks } from "./attacks/index.ts";
import { formatAttacks, type AttackRow } from "./table.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    few: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
  },
});
const names = values.only?.split(",") ?? attacks.map(({ name }) => name);
const unknown = names.filter((name) => !attacks.some((attack) => attack.name === name));
if (unknown.length > 0) {
  console.error(`no attack ${unknown.join(", ")}; there are: ${attacks.map(({ name }) => name).join(" ")}`);
  process.exit(2);
}

const runner = createRunner();
const rows: AttackRow[] = [];
const chosen = attacks.filter(({ name, few }) => names.includes(name) && (few > 0 || !values.few));
for (const attack of chosen) {
  const fault = faultOf(attack);
  fault.prepare?.();
  const fromMs = performance.now();
  const row = await runner.run(fault, values.few ? attack.few : attack.many, 1);
  fault.done?.();
  rows.push({ attack, row, noticed: fault.noticed() });
  const seconds = Math.round((performance.now() - fromMs) / 1000);
  console.error(
    `${row.problems.length === 0 ? "ok    " : "FAILED"} ${attack.name}, ${seconds} s, ${fault.how()}`,
  );
}
await runner.close();
console.log(formatAttacks(rows, values.markdown));
const bad = rows.filter(({ row }) => row.problems.length > 0);
for (const { attack, row } of bad) console.log(`failed: ${attack.name}\n  ${row.problems.join("\n  ")}`);
process.exit(bad.length > 0 || rows.length === 0 ? 1 : 0);
