/** A file of settings is read as systemd reads it: the examples of systemd.exec(5) and of systemd's own test (test-env-file.c). */
import { describe, expect, test } from "bun:test";
import { parseEnvFile } from "../../src/config/env-file.ts";

const read = (text: string) => Object.fromEntries(parseEnvFile(text).values);

describe("values", () => {
  test.each([
    ["a=a", { a: "a" }],
    ["a=", { a: "" }],
    ["a=a\nb=b\\\nc\nd=d", { a: "a", b: "bc", d: "d" }],
    ["a=a\\\n  b=b", { a: "a  b=b" }],
    ["a = a  \n b=\tb c \r\n", { a: "a", b: "b c" }],
    ["# a=1\n; b=2\n\n  # c=3\nd=4", { d: "4" }],
    ["# ends with a backslash\\\na=1", { a: "1" }],
    ["a=1 # no comment", { a: "1 # no comment" }],
    [
      "a=postgres://me:p%40ss@db/x?sslmode=verify-full&sslrootcert=/ca.pem",
      { a: "postgres://me:p%40ss@db/x?sslmode=verify-full&sslrootcert=/ca.pem" },
    ],
    ["a='single $x \\ \"q\"'", { a: 'single $x \\ "q"' }],
    ["a='two\nlines'\nb=1", { a: "two\nlines", b: "1" }],
    ['a="double \\" \\\\ \\$ \\` \\n"', { a: 'double " \\ $ ` \\n' }],
    ['a="goes \\\non"', { a: "goes on" }],
    ['a="x"\'y\' "z"', { a: "xyz" }],
    ['a="x"y', { a: "xy" }],
    ['a=x"y"', { a: 'x"y"' }],
    ["a=\\\\ \\x \\'", { a: "\\ x '" }],
    ['a="  kept  "  ', { a: "  kept  " }],
    ["a=1\na=2", { a: "2" }],
    ["\uFEFFa=1\nb=2", { b: "2" }],
    ["a=x\\", { a: "x" }],
    ["a='open", { a: "open" }],
  ] as const)("%j", (text, wanted) => {
    expect(read(text)).toEqual(wanted);
  });
});

test("what systemd ignores silently is reported, without the secret that may stand there", () => {
  const { values, remarks } = parseEnvFile("export A=1\nhunter2 hunter2\n\nB=2\n=3\ns3cret/+ =x");
  expect([...values]).toEqual([["B", "2"]]);
  expect(remarks).toEqual([
    "line 1: export is a word of the shell, leave it out: ignored, as systemd does",
    "line 2: it has no =: ignored, as systemd does",
    "line 5: what stands before = is not a name: ignored, as systemd does",
    "line 6: what stands before = is not a name: ignored, as systemd does",
  ]);
});

test("a byte order mark costs the first name, as systemd reads it, and is named", () => {
  const named = [
    "line 1: a byte order mark stands before it: save the file as UTF-8 without one: ignored, as systemd does",
  ];
  expect(parseEnvFile("\uFEFFMQTT_URL=mqtt://broker\nB=2").remarks).toEqual(named);
  for (const comment of ["# the site", "# A = 1", ""])
    expect(parseEnvFile(`\uFEFF${comment}\nB=2`).remarks).toEqual(named);
});

test.each([
  ["A=1\nB=x # what it is", ["line 2: # behind a value begins no comment"]],
  ["A='x'   # what it is # more\nB= # unset", ["line 1: # behind a value", "line 2: # behind a value"]],
  ["A=1\nB='x\nC=3\nD=4", ["line 2: the quote is not closed in its line"]],
  ['A="x\nB="y"', ["line 1: the quote is not closed in its line"]],
  ['# A=1 # B\nA=#1\nB=a#b\nC=\'a # b\'\nD="a # b"\nE="goes \\\non"', []],
] as const)("what is a value silently and hardly meant as one is told: %j", (text, wanted) => {
  const { remarks } = parseEnvFile(text);
  expect(remarks).toHaveLength(wanted.length);
  for (const [index, words] of wanted.entries()) expect(remarks[index]).toStartWith(words);
});
