/** Writes the tables of settings into the README, between their two markers. */
import { settingsTable } from "../src/config/print-settings.ts";

const path = `${import.meta.dir}/../README.md`;
const text = await Bun.file(path).text();
const [before, rest] = text.split("<!-- settings: printed by `bun run test/readme.ts` -->");
const after = rest?.split("<!-- end of settings -->")[1];
if (before === undefined || after === undefined) throw new Error("README.md has not the two markers");
await Bun.write(
  path,
  `${before}<!-- settings: printed by \`bun run test/readme.ts\` -->\n\n${settingsTable()}\n<!-- end of settings -->${after}`,
);
