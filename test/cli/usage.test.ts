/** Invalid arguments: exit code 2 with every command, reported on standard error, and nothing is done. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, moment } from "../../src/cli/command.ts";
import { commands } from "../../src/cli/index.ts";
import { runCommand } from "../kit/command.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-usage-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const sluice = (words: readonly string[]) =>
  runCommand(words, {
    env: { DATA_DIR: join(directory, "data"), HTTP_LISTEN: "127.0.0.1:1" },
    signal: AbortSignal.abort(),
  });

interface Named {
  /** The arguments that name the command. */
  readonly name: readonly string[];
  readonly command: Command;
}

const all: Named[] = commands.flatMap((entry) =>
  "run" in entry
    ? [{ name: [entry.name], command: entry }]
    : entry.commands.map((command) => ({ name: [entry.name, command.name], command })),
);

const argumentsOf = ({ command }: Named) => Object.keys(command.arguments).map(() => "1");
const isNeeded = (it: Command["options"][string]) => !it.schema.safeParse(undefined).success;
const longFlag = (flags: string) => flags.split(" ")[0] ?? "";
/** Arguments that are valid, except for the option under test. */
function goodWords(named: Named, but?: string): string[] {
  const needed = Object.values(named.command.options).filter((it) => isNeeded(it) && it.flags !== but);
  return [...named.name, ...argumentsOf(named), ...needed.flatMap((it) => [longFlag(it.flags), "x"])];
}

/** No firmware is known, no faults; and a file of settings that cannot be read is a mistake of the configuration. */
const mayBeEmpty: ReadonlySet<string> = new Set(["--firmware", "--faults", "--env-file"]);

/** No number, name of a list, time or JSON, and no level of a topic. */
const nonsense = "+/#!";

const mistakes: [string, string[]][] = all.flatMap((named) => {
  const { command } = named;
  const good = goodWords(named);
  const values = Object.values(command.options).filter(
    (it) => it.flags.includes("<") && !it.schema.safeParse(nonsense).success,
  );
  const rows: [string, string[]][] = [
    ["an unknown option", [...good, "--no-such-option"]],
    ["one argument too many", [...good, "1"]],
    ...values.map(({ flags }): [string, string[]] => [
      `a bad ${longFlag(flags)}`,
      [...goodWords(named, flags), longFlag(flags), nonsense],
    ]),
    ...Object.values(command.options)
      .filter((it) => it.flags.includes("<"))
      .map(({ flags }): [string, string[]] => [
        `${longFlag(flags)} without its value`,
        [...goodWords(named, flags), longFlag(flags)],
      ]),
    ...Object.values(command.options)
      .filter((it) => it.flags.includes("<") && !mayBeEmpty.has(longFlag(it.flags)))
      .map(({ flags }): [string, string[]] => [
        `an empty ${longFlag(flags)}`,
        [...goodWords(named, flags), longFlag(flags), ""],
      ]),
    ...Object.values(command.options)
      .filter(isNeeded)
      .map(({ flags }): [string, string[]] => [`no ${longFlag(flags)}`, goodWords(named, flags)]),
  ];
  if (Object.keys(command.arguments).length > 0)
    rows.push(["an empty argument", good.map((word) => (word === "1" ? "" : word))]);
  if ("gateway" in command.options)
    rows.push(["a gateway that is no URL", [...good, "--gateway", "nonsense"]]);
  if (Object.keys(command.arguments).length > 0) rows.push(["a missing argument", [...named.name]]);
  if (command.arguments["device"] !== undefined)
    rows.push(["an id that is none", good.map((word) => (word === "1" ? nonsense : word))]);
  return rows.map(([what, words]): [string, string[]] => [`${named.name.join(" ")}: ${what}`, words]);
});

test.each(mistakes)("%s", async (_, words) => {
  const { code, out, err } = await sluice(words);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toStartWith("error: ");
  expect(readdirSync(directory)).toEqual([]);
});

test.each(all.map((named) => [named.name.join(" "), named] as const))(
  "%s: after a mistake the error points to its own help",
  async (name, named) => {
    const { err } = await sluice([...goodWords(named), "--no-such-option"]);
    expect(err).toEndWith(`See \`sluice ${name} --help\`.\n`);
  },
);

test.each([
  [["dead-letters", "show", "x"]],
  [["quarantine", "replay"]],
  [["simulate"]],
  [["help", "x", "y"]],
])("%j", async (words) => {
  expect(await sluice(words)).toMatchObject({ code: 2, out: "" });
});

const pages = ["--help", "help reasons", "help settings", "simulate --help", "spool export --help"];
test.each(pages.flatMap((page) => [40, 60, 80, 120].map((columns) => [page, columns] as const)))(
  "%s fits a terminal of %i columns",
  async (page, columns) => {
    const { out } = await runCommand(page.split(" "), { env: {}, columns });
    // What is one word cannot be wrapped.
    const tooWide = out.split("\n").filter((line) => line.length > columns && /\S +\S/.test(line));
    expect(tooWide).toEqual([]);
  },
);

test("whoever may name a gateway is told what is asked if none is named", () => {
  const untold = all.filter(
    ({ command: { options } }) => !(options["gateway"]?.help ?? "default:").includes("default:"),
  );
  expect(untold.map(({ name }) => name.join(" "))).toEqual([]);
});

test("a time without a zone is UTC, on whichever clock the shell goes by", () => {
  const time = moment("--since <time>", "From then on").schema;
  const { TZ } = process.env;
  process.env["TZ"] = "Asia/Tokyo";
  try {
    for (const said of ["2026-11-21T08:00:00", "2026-11-21T08:00:00Z", "2026-11-21T17:00:00+09:00"])
      expect(time.parse(said)).toBe("2026-11-21T08:00:00.000Z");
    expect(time.parse("2026-11-21")).toBe("2026-11-21T00:00:00.000Z");
    for (const said of ["2026", "1795248000", "noon"]) expect(time.safeParse(said).success).toBe(false);
  } finally {
    process.env["TZ"] = TZ ?? "UTC";
  }
});
