/**
 * What README.md, docs/ and CHANGELOG.md tell people exists: every command with its options, every script, every file and
 * heading that a link leads to; and the pages that are printed from the code are what it prints.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { execute } from "../src/cli/index.ts";
import { silentLog } from "../src/core/log.ts";
import manifest from "../package.json";
import { reasonsPage, settingsPage } from "./readme.ts";

const root = resolve(import.meta.dir, "..");
const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
const pages = new Map(
  ["README.md", "CHANGELOG.md", ...docs.map((name) => `docs/${name}`)].map((name) => [
    name,
    readFileSync(join(root, name), "utf8"),
  ]),
);
const read = (page: string) => pages.get(page) ?? "";

/** Code between backticks and in blocks; only there a word counts as a command. */
const typed = [
  ...[...pages.values()].join("\n").matchAll(/```(?:sh.*|ini)?\n([\s\S]*?)```|`([^`\n]+)`/g),
].map(([, block, span]) => block ?? span);
const lines = typed.join("\n").split("\n");
const matches = (pattern: RegExp) => [...new Set(lines.flatMap((line) => line.match(pattern) ?? []))];

async function help(...words: string[]): Promise<string | undefined> {
  let out = "";
  const code = await execute(["help", ...words], {
    env: {},
    stdout: (text) => void (out += text),
    stderr: () => {},
    signal: new AbortController().signal,
    createLog: () => silentLog,
  });
  return code === 0 ? out : undefined;
}

describe("what people are told to type", () => {
  const commands = matches(/(?<![/\w])sluice [a-z][a-z-]*(?: [a-z-]+)*(?: [^#;&|>)]*)?/g);

  test("is there at all", () => expect(commands.length).toBeGreaterThan(20));

  test.each(commands)("%s is a command, with options that it has", async (line) => {
    const [first = "", second = "", ...others] = line.split(" ").slice(1);
    if (first === "help") return expect(await help(...(second === "" ? [] : [second]))).toBeString();
    const group = await help(first);
    expect(group).toBeString();
    const isGroup = group?.includes("\nCommands:") === true && second !== "";
    const text = isGroup ? await help(first, second) : group;
    expect(text).toBeString();
    for (const word of [second, ...others].filter((each) => each.startsWith("--")))
      expect(text).toContain(word.replace(/[=.,].*$/, ""));
  });

  test.each(matches(/(?<=bun run )[a-z][a-z:]*(?![a-z:/.])/g))("bun run %s is a script", (name) => {
    expect(Object.keys(manifest.scripts)).toContain(name);
  });
});

describe("every link", () => {
  const links = [...pages].flatMap(([page, text]) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = ""]) => ({ page, to })),
  );
  const inside = links.filter(({ to }) => !/^[a-z]+:/.test(to));

  test("stands between pages at all", () => expect(inside.length).toBeGreaterThan(30));

  test.each(inside)("$page → $to leads somewhere", ({ page, to }) => {
    const [path = "", anchor] = to.split("#");
    const file = path === "" ? join(root, page) : join(root, dirname(page), path);
    expect(existsSync(file)).toBeTrue();
    if (anchor !== undefined) expect(anchorsOf(read(relative(root, file)))).toContain(anchor);
  });

  test("reaches every page of docs/ from the README", () => {
    for (const name of docs) expect(read("README.md")).toContain(`(docs/${name})`);
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/```[\s\S]*?```/g, "").matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe("a page that is printed from the code is what it prints", () => {
  // The formatter pads the cells of a table.
  const plain = (text: string) => text.replaceAll(/ +/g, " ").replaceAll(/-{3,}/g, "---").trim();

  test("docs/settings.md (bun run test/readme.ts writes it)", async () => {
    expect(plain(read("docs/settings.md"))).toBe(plain(await settingsPage()));
  });
  test("docs/reasons.md (the same)", () => {
    expect(plain(read("docs/reasons.md"))).toBe(plain(reasonsPage()));
  });
});

test("the README stays a front page", () => {
  expect(read("README.md").split("\n").length).toBeLessThan(200);
});
