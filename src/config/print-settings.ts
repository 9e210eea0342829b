/**
 * Prints the tables of settings for people: `sluice help settings`, a sample environment file, docs/settings.md.
 */
import type { Setting } from "../core/settings.ts";
import { allSettings, tables, titles } from "./tables.ts";

/** The settings for a terminal. */
export function helpSettings(width: number): string {
  return sections((title, rows) => {
    const lines = rows.map((row) => helpSetting(row, width));
    return `${title}\n\n${lines.join("")}`;
  });
}

export function helpSetting(row: Setting<unknown>, width: number): string {
  const heading = `${row.name}  (${defaultOf(row)})${secretNote(row)}`;
  return wrapped(heading, "  ", width, "        ") + wrapped(row.help, "      ", width);
}

/**
 * The settings for `EnvironmentFile=` of a unit or `--env-file` of a container: every setting, commented out, with
 * its default.
 */
export function sampleEnv(): string {
  return sections((title, rows) => {
    const lines = rows.map((row) => `${wrapped(row.help, "# ")}#${row.name}=${row.default ?? ""}\n`);
    return `# --- ${title} ---\n${lines.join("")}`;
  });
}

/** The settings for a script. */
export function settingsJson(): readonly Readonly<Record<string, unknown>>[] {
  return allSettings.map(({ name, default: fallback, unit, help, secret }) => ({
    name,
    default: fallback,
    unit,
    help,
    secret,
  }));
}

/** The settings as Markdown. A test checks that docs/settings.md equals it. */
export function settingsTable(): string {
  return sections((title, rows) => {
    const lines = rows.map(
      (row) =>
        `| \`${row.name}\` | ${row.default ? `\`${row.default}\`` : ""} | ${unitOf(row)} | ${cell(row.help)} |\n`,
    );
    return `## ${title}\n\n| Setting | Default | Unit | What it does |\n| --- | --- | --- | --- |\n${lines.join("")}`;
  });
}

function sections(print: (title: string, rows: readonly Setting<unknown>[]) => string): string {
  const parts: Readonly<Record<string, Readonly<Record<string, Setting<unknown>>>>> = tables;
  const names: Readonly<Record<string, string>> = titles;
  return Object.entries(parts)
    .map(([part, table]) => print(names[part] ?? part, Object.values(table)))
    .join("\n");
}

function defaultOf({ default: fallback, unit }: Setting<unknown>): string {
  return !fallback ? `${unit}, optional` : `${unit}, default ${fallback}`;
}

function secretNote({ secret, name }: Setting<unknown>): string {
  return secret ? `  or ${name}_FILE` : "";
}

function unitOf(row: Setting<unknown>): string {
  return cell(row.secret ? `${row.unit}, or a path in \`${row.name}_FILE\`` : row.unit);
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** Of a line, if nobody says how wide the terminal is. */
const widthMax = 100;

/**
 * Wraps text into lines that begin with `margin`.
 * @param width of the terminal
 * @param next the margin of the lines after the first
 */
export function wrapped(text: string, margin: string, width = widthMax, next = margin): string {
  const lines: string[] = [];
  let line = margin;
  let isEmpty = true;
  for (const word of text.split(" ")) {
    if (!isEmpty && line.length + 1 + word.length > width) {
      lines.push(line.trimEnd());
      [line, isEmpty] = [next, true];
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty &&= word === "";
  }
  return [...lines, line].map((each) => `${each}\n`).join("");
}
