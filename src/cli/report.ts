/** What several commands print: where they work, a line per second, tables, lists, JSON. */
import type { PublishCounts } from "../simulator/publisher.ts";
import { oneLine } from "../core/text/terminal.ts";
import type { Context } from "./command.ts";

export function progressLine({ sent, acknowledged, refused, unanswered, elapsedMs }: PublishCounts): string {
  const rate = elapsedMs > 0 ? Math.round((sent * 1000) / elapsedMs) : 0;
  const seconds = (elapsedMs / 1000).toFixed(0);
  return `${seconds} s: sent ${sent} (${rate} msg/s), acknowledged ${acknowledged}, refused ${refused}, unanswered ${unanswered}`;
}

/** One name of 256 characters must not push the next column of every row off the screen: it stands out of its own row alone. */
const widthMax = 60;

/** A table: rows under a heading, text left-aligned, columns of numbers right-aligned. Ends with a newline. */
export function table(given: readonly (readonly string[])[]): string {
  const rows = given.map((row) => row.map(oneLine));
  const columns = (rows[0] ?? []).map((_, at) => {
    const cells = rows.map((row) => row[at] ?? "");
    const values = cells.slice(1).filter((cell) => cell !== "-" && cell !== "");
    const isNumeric = at > 0 && values.length > 0 && values.every((cell) => /^-?[\d.,]+$/.test(cell));
    return { width: Math.min(widthMax, Math.max(...cells.map((cell) => cell.length))), isNumeric };
  });
  const line = (row: readonly string[]) =>
    columns.map(({ width, isNumeric }, at) => {
      const cell = row[at] ?? "";
      return isNumeric ? cell.padStart(width) : cell.padEnd(width);
    });
  return rows.map((row) => `${line(row).join("  ").trimEnd()}\n`).join("");
}

/** Prints a list for people. That it is empty is a remark, so that a script finds no line where there is no row. */
export function printList(
  { stdout, stderr }: Pick<Context, "stdout" | "stderr">,
  heading: readonly string[],
  rows: readonly (readonly string[])[],
  none: string,
): void {
  if (rows.length === 0) stderr(`${none}\n`);
  else stdout(table([heading, ...rows]));
}

/** On what the command works, a store or a gateway: before the first word of the answer. */
export function sayWhere({ stderr }: Pick<Context, "stderr">, where: string): void {
  stderr(`in ${where}\n`);
}

export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** With names as in GET /stats. */
export function inSnakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inSnakeCase);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([name, member]) => [
    name.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    inSnakeCase(member),
  ]);
  return Object.fromEntries(members);
}
