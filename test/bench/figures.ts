/**
 * What a bench measured, and the one table that shows it: a row per figure, a column per subject, medians over the rounds. Beside
 * each subject stands what the first executable makes of its figure, or, with an earlier report, what it is now of what it was then.
 */
import { cpus, loadavg } from "node:os";

export interface Figure {
  readonly bench: string;
  /** With its unit. */
  readonly name: string;
  readonly subject: string;
  readonly value: number;
}

export const figureOf =
  (bench: string, subject: string) =>
  (name: string, value: number): Figure => ({ bench, name, subject, value });

export interface Report {
  readonly date: string;
  readonly machine: string;
  readonly command: string;
  readonly figures: readonly Figure[];
}

export function reportOf(figures: readonly Figure[], words: readonly string[]): Report {
  const [cpu] = cpus();
  const load = loadavg().map((value) => value.toFixed(1));
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    machine: `${cpus().length} × ${cpu?.model ?? "unknown"}, load ${load.join(" ")} at the end`,
    command: ["bun run bench", ...words].join(" "),
    // JSON has no other numbers; a cell without one is empty.
    figures: figures.filter(({ value }) => Number.isFinite(value)),
  };
}

/** In Markdown, with widths that make it a table for the eye as well. @param reference the subject that the others are held against */
export function tableOf(report: Report, reference: string, earlier?: Report): string {
  const columns = subjectsOf(report.figures);
  const header = columns.flatMap((name) =>
    earlier ? [name, "of before"] : name === reference ? [name] : [name, `${reference} ÷ it`],
  );
  const rows = namesOf(report.figures).map(([bench, name]) => {
    const value = (subject: string, of: Report = report) => median(of, bench, name, subject);
    const ratio = (subject: string) =>
      earlier ? value(subject) / value(subject, earlier) : value(reference) / value(subject);
    const cells = columns.flatMap((subject) => {
      const own = numberText(value(subject));
      return subject === reference && !earlier ? [own] : [own, ratioText(ratio(subject))];
    });
    return [`${bench}, ${name}`, ...cells];
  });
  const heading = `${report.date} UTC, ${report.machine}\n\`${report.command}\`\n\n`;
  return heading + markdown([["", ...header], ...rows]);
}

function markdown(lines: readonly (readonly string[])[]): string {
  const [header = [], ...rows] = lines;
  const widths = header.map((_, i) => Math.max(4, ...lines.map((line) => line[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |\n`;
  const rule = widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [header, rule, ...rows].map(line).join("");
}

function median({ figures }: Pick<Report, "figures">, bench: string, name: string, subject: string): number {
  const values = figures
    .filter((figure) => figure.bench === bench && figure.name === name && figure.subject === subject)
    .map(({ value }) => value)
    .sort((a, b) => a - b);
  const middle = values.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [values[Math.ceil(values.length / 2) - 1], values[middle]];
  return (low + high) / 2;
}

const subjectsOf = (figures: readonly Figure[]) => [...new Set(figures.map(({ subject }) => subject))];

function namesOf(figures: readonly Figure[]): [bench: string, name: string][] {
  const keys = new Map(
    figures.map(({ bench, name }) => [`${bench}, ${name}`, [bench, name] as [string, string]]),
  );
  return [...keys.values()];
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) return "";
  return value.toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 });
}

const ratioText = (value: number) => (Number.isFinite(value) ? value.toFixed(2) : "");
