/** README.md, docs/ and CHANGELOG.md as the tests take them: pages, blocks of code, and words between backticks. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dir, "../..");

/** Path from the root → text. */
export const pages: ReadonlyMap<string, string> = new Map(
  [
    "README.md",
    "CHANGELOG.md",
    ...readdirSync(join(root, "docs"))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${name}`),
  ].map((name) => [name, readFileSync(join(root, name), "utf8")]),
);

export interface Block {
  readonly page: string;
  /**
   * What stands behind the three backticks: the language, and for a shell what it wants besides an executable (systemd, docker, …).
   * A block that wants nothing is run by test/binary/documents.test.ts.
   */
  readonly info: string;
  readonly text: string;
}

export const blocks: readonly Block[] = [...pages].flatMap(([page, all]) =>
  [...all.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, info = "", text = ""]) => ({ page, info, text })),
);

export const spans: readonly { page: string; text: string }[] = [...pages].flatMap(([page, all]) =>
  [...all.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g)].map(([, text = ""]) => ({
    page,
    text: text.replaceAll(String.raw`\|`, "|"),
  })),
);

/** A line as a shell splits it, up to what ends the command; good for what the documents have. */
export function wordsOf(line: string): string[] {
  const words = line.match(/(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\])+/g) ?? [];
  const end = words.findIndex((word) => /^(?:[#;&|><)]|2>|\d?>)/.test(word));
  return words
    .slice(0, end === -1 ? undefined : end)
    .map((word) => word.replaceAll(/['"]/g, "").replace(/[);]+$/, ""));
}
