/** The fault table, for a terminal or for docs/faults.md. */
import type { Row } from "./fault.ts";

const heads = [
  "fault",
  "times",
  "acknowledged",
  "stored",
  "quarantined",
  "again, known",
  "lost",
  "duplicate",
];

export function formatTable(rows: readonly Row[], markdown: boolean): string {
  const lines = [heads, ...rows.map(cells)];
  const text = markdown ? markdownOf(lines) : plainOf(lines);
  return [text, ...footnotes(rows)].join("\n");
}

/** Two runs of one fault as one row. */
export function added(a: Row, b: Row): Row {
  const sum = (name: keyof Row) => Number(a[name]) + Number(b[name]);
  return {
    fault: a.fault,
    sent: sum("sent"),
    acknowledged: sum("acknowledged"),
    stored: sum("stored"),
    quarantined: sum("quarantined"),
    lost: sum("lost"),
    lostByBroker: sum("lostByBroker"),
    duplicate: sum("duplicate"),
    repeatedByBroker: sum("repeatedByBroker"),
    happened: sum("happened"),
    recognised: sum("recognised"),
    wrong: [...a.wrong, ...b.wrong],
    problems: [...a.problems, ...b.problems],
  };
}

/**
 * `stored` counts the rows in raw_events. What the broker itself lost or repeated is not our fault, and is noted
 * below.
 */
function cells(row: Row): string[] {
  const numbers = [
    row.happened,
    row.acknowledged,
    row.stored - row.quarantined,
    row.quarantined,
    row.recognised,
    row.lost - (row.fault.brokerErrs === undefined ? 0 : row.lostByBroker),
    row.duplicate - (row.fault.brokerErrs === undefined ? 0 : row.repeatedByBroker),
  ];
  return [row.fault.says, ...numbers.map((n) => n.toLocaleString("en"))];
}

function footnotes(rows: readonly Row[]): string[] {
  return rows.flatMap(({ fault, lostByBroker, repeatedByBroker }) =>
    fault.brokerErrs === undefined || lostByBroker + repeatedByBroker === 0
      ? []
      : [
          `\n${fault.says}: besides, Mosquitto itself lost ${lostByBroker} and sent ${repeatedByBroker} as new once more (${fault.brokerErrs}).`,
        ],
  );
}

function markdownOf([head = [], ...rest]: readonly string[][]): string {
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rest.map(line)].join("\n");
}

function plainOf(lines: readonly string[][]): string {
  const widths = heads.map((_, i) => Math.max(...lines.map((row) => row[i]?.length ?? 0)));
  const pad = (cell: string, i: number) =>
    i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  return lines.map((row) => row.map(pad).join("  ")).join("\n");
}
