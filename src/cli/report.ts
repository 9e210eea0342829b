/** What `demo` and `simulate` print in common: a line a second, and tables. */
import type { PublishCounts } from "../simulator/publisher.ts";

export function progressLine({ sent, acknowledged, refused, unanswered, elapsedMs }: PublishCounts): string {
  const rate = elapsedMs > 0 ? Math.round((sent * 1000) / elapsedMs) : 0;
  const seconds = (elapsedMs / 1000).toFixed(0);
  return `${seconds} s: sent ${sent} (${rate} msg/s), acknowledged ${acknowledged}, refused ${refused}, unanswered ${unanswered}`;
}

/** Rows under a heading: the first column left, numbers right. Ends with a newline. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
