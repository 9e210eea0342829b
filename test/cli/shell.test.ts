/** Completions as real shells take them, the manual page as man does, the licences as bun.lock has the packages. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { commands } from "../../src/cli/index.ts";
import { runCommand } from "../kit/command.ts";
import { allSettings } from "../../src/config/tables.ts";
import lock from "../../bun.lock";

const sluice = (...words: string[]) => runCommand(words, { env: {} });

function inFile<T>(text: string, work: (path: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "sluice-shell-"));
  try {
    writeFileSync(join(directory, "file"), text);
    return work(join(directory, "file"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("bash", () => {
  /** What it offers for the last of these words. */
  const offered = async (...words: string[]) => {
    const { out } = await sluice("completion", "bash");
    const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return inFile(out, (path) => {
      const ran = Bun.spawnSync(["bash", "-u", "-c", script, "bash", path, "sluice", ...words]);
      expect(ran.stderr.toString()).toBe("");
      return ran.stdout.toString().trim().split("\n");
    });
  };

  test("offers commands, sub-commands, flags and topics, each where it belongs", async () => {
    expect(await offered("")).toEqual(expect.arrayContaining(commands.map(({ name }) => name)));
    expect(await offered("de")).toEqual(expect.arrayContaining(["demo", "devices", "dead-letters"]));
    expect(await offered("devices", "ro")).toEqual(["rotate-token"]);
    expect(await offered("devices", "add", "acme", "d1", "--si")).toEqual(["--site"]);
    expect(await offered("devices", "add", "acme", "d1", "--site", "s", "--js")).toEqual(["--json"]);
    expect(await offered("help", "al")).toEqual(["alerts"]);
    expect(await offered("help", "ma")).toEqual(expect.arrayContaining(["man", "mappings"]));
    expect(await offered("help", "devi")).toEqual(["devices"]);
    expect(await offered("--")).toEqual(["--version", "--help"]);
    expect(await offered("status", "--env")).toEqual(["--env-file"]);
    expect(await offered("completion", "")).toEqual(["bash", "zsh", "fish", "--help"]);
    expect(await offered("nothing", "")).toEqual([""]);
  });

  test("leaves the value of a flag to the names of files", async () => {
    expect(await offered("spool", "export", "--output", "")).toEqual([""]);
    expect(await offered("spool", "export", "--output", "x", "--si")).toEqual(["--sink"]);
  });
});

test.each(["bash", "zsh", "fish"])("%s completions have every command", async (shell) => {
  const { out, code } = await sluice("completion", shell);
  expect(code).toBe(0);
  for (const { name } of commands) expect(out).toContain(name);
});

const expected: readonly (readonly [line: string, offers: readonly string[]])[] = [
  ["sluice dead-letters list --s", ["--since", "--sink"]],
  ["sluice quarantine list --s", ["--since"]],
  ["sluice devices add acme d1 --site s --js", ["--json"]],
  ["sluice completion ", ["bash", "fish", "zsh", "--help"]],
  ["sluice status --e", ["--env-file"]],
  ["sluice spool ", ["compact", "export", "repair", "status", "verify"]],
  ["sluice help gra", ["grafana"]],
];

/** Flags that nobody began to type are not asked for: fish shows them later than the others do. */
const unlessFlags = (offers: readonly string[]) => offers.filter((offer) => !offer.startsWith("--"));

/** What zsh's _describe would offer of what it is given. */
const printing = "compdef() {}; _files() {}; _describe() { print -l -- ${(P)2}; }";
const askZsh = 'words=("${(@s: :)1}"); CURRENT=${#words}; _sluice';

for (const [shell, how, script] of [
  [
    "fish",
    "sourced",
    (path: string, line: string) => [
      "--no-config",
      "-c",
      `source ${path}; complete -C ${JSON.stringify(line)}`,
    ],
  ],
  [
    "zsh",
    "sourced",
    (path: string, line: string) => ["-f", "-c", `${printing}; source ${path}; ${askZsh}`, "zsh", line],
  ],
  [
    "zsh",
    "in a directory of fpath, at its first call",
    (path: string, line: string) => [
      "-f",
      "-c",
      `${printing}; mv ${path} \${2}/_sluice; fpath=($2); autoload -Uz _sluice; ${askZsh}`,
      "zsh",
      line,
      dirname(path),
    ],
  ],
] as const) {
  const found = Bun.which(shell);
  const absent = found === null ? `${shell} is not installed (apt-get install ${shell})` : "";
  test.skipIf(absent !== "")(
    `${shell} offers what belongs to this command alone, ${how} ${absent}`,
    async () => {
      const { out } = await sluice("completion", shell);
      for (const [line, offers] of expected) {
        const typed = line.split(" ").at(-1) ?? "";
        const said = inFile(out, (path) => {
          const ran = Bun.spawnSync([found ?? "", ...script(path, line)]);
          expect(ran.stderr.toString()).toBe("");
          return ran.stdout.toString().trim().split("\n");
        });
        const words = said
          .map((offer) => offer.split(/[\t:]/)[0] ?? "")
          .filter((offer) => offer.startsWith(typed));
        const meant = typed.startsWith("--") ? offers : unlessFlags(offers);
        expect([line, (typed.startsWith("--") ? words : unlessFlags(words)).toSorted()]).toEqual([
          line,
          meant.toSorted(),
        ]);
      }
    },
  );
}

test("no word of a command stands twice in the script for bash, where the second would never be asked", async () => {
  const { out } = await sluice("completion", "bash");
  const cases = [...out.matchAll(/^ +"([^"]*)"\) words=/gm)].map(([, place]) => place);
  expect(cases.filter((place, at) => cases.indexOf(place) !== at)).toEqual([]);
  expect(cases.length).toBeGreaterThan(30);
});

test("another shell is a mistake of the words", async () => {
  expect(await sluice("completion", "tcsh")).toMatchObject({ code: 2, out: "" });
});

test("the manual page has every command and setting, and man has nothing to remark", async () => {
  const { out } = await sluice("help", "man");
  const text = inFile(out, (path) => {
    const ran = Bun.spawnSync(["man", "--warnings", "-E", "UTF-8", "-l", path], {
      env: { PATH: process.env["PATH"], MANWIDTH: "200", LC_ALL: "C.UTF-8" },
    });
    expect(ran.stderr.toString()).toBe("");
    return ran.stdout.toString();
  });
  for (const { name } of commands) expect(text).toContain(name);
  for (const { name } of allSettings) expect(text).toContain(name);
  expect(text).toContain("rotate-token <tenant> <device>");
});

test("the licences are of every package that is bundled, and of none that only tests need", async () => {
  const { out } = await sluice("help", "licenses");
  const { dependencies = {}, devDependencies = {} } = lock.workspaces[""] ?? {};
  for (const [name, version] of Object.entries(dependencies)) expect(out).toContain(`${name} ${version} (`);
  for (const name of Object.keys(devDependencies)) expect(out).not.toContain(`\n${name} `);
  expect(out).toContain("bl 6.");
  expect(out).not.toContain("(unknown)");
  expect(out).toContain("Permission is hereby granted, free of charge");
});
