/** What README.md and CHANGELOG.md tell people to type exists. */
import { describe, expect, test } from "bun:test";
import { execute } from "../src/cli/index.ts";
import { silentLog } from "../src/core/log.ts";
import manifest from "../package.json";

const read = (name: string) => Bun.file(`${import.meta.dir}/../${name}`).text();
const texts = `${await read("README.md")}\n${await read("CHANGELOG.md")}`;
/** Code between backticks and in blocks; only there a word counts as a command. */
const typed = [...texts.matchAll(/```(?:sh|ini)?\n([\s\S]*?)```|`([^`\n]+)`/g)].map(
  ([, block, span]) => block ?? span,
);
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

describe("the README", () => {
  const commands = matches(/(?<![/\w])sluice [a-z][a-z-]*(?: [a-z-]+)*(?: [^#;&|>]*)?/g);

  test("names commands at all", () => expect(commands.length).toBeGreaterThan(20));

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
