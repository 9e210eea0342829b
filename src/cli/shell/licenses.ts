/** `sluice help licenses`: whose work is in this program besides ours, each with its licence's own words. */
import { bundledPackages } from "../../release/bundle.ts" with { type: "macro" };

const packages = bundledPackages();

/** What the executable is made of around all that. */
const runtime = `bun ${Bun.version} (MIT, with JavaScriptCore and others under their own licences: https://bun.sh/docs/project/licensing)\n`;

export function licensesText(): string {
  const list = packages.map(({ name, version, license }) => `${name} ${version} (${license})\n`);
  const texts = packages
    .filter(({ text }) => text !== "")
    .map(({ name, version, text }) => `\n--- ${name} ${version} ---\n\n${text}\n`);
  return `Sluice is under Apache-2.0. This program contains:\n\n${runtime}${list.join("")}${texts.join("")}`;
}
