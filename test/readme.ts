/** Prints docs/settings.md (between its two markers) and docs/reasons.md from the tables in the code: `bun run test/readme.ts`. */
import { settingsTable } from "../src/config/print-settings.ts";
import { reasons } from "../src/judge/reasons.ts";

const docs = `${import.meta.dir}/../docs`;
const marker = "<!-- printed by `bun run test/readme.ts` -->";

/** What stands above the tables is written by hand. */
export async function settingsPage(): Promise<string> {
  const [intro = ""] = (await Bun.file(`${docs}/settings.md`).text()).split(marker);
  return `${intro}${marker}\n\n${settingsTable()}`;
}

export function reasonsPage(): string {
  const rows = reasons.map(({ code, help, remedy }) => `| \`${code}\` | ${cell(help)} | ${cell(remedy)} |\n`);
  return `# Reasons for a reject

${marker}

In the order in which they are checked. \`/admin/rejects\` and \`sluice rejects\` name the devices; \`sluice help reasons\` prints this table.

| Reason | What it means | Remedy |
| --- | --- | --- |
${rows.join("")}`;
}

/** In Markdown `|` ends a cell, and `<tenant>` would be a tag. */
const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "\\<");

if (import.meta.main) {
  await Bun.write(`${docs}/settings.md`, await settingsPage());
  await Bun.write(`${docs}/reasons.md`, reasonsPage());
}
