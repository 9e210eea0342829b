/**
 * Builds the executable, runs all tests against it and says plainly what was not tested.
 *
 *   bun run test [path or name …]
 *
 * A suite that needs a server which is not installed is skipped and listed; on CI (CI=true) a skipped test fails the run,
 * as does a run in which nothing was tested. Only what the kernel forbids, and says so in its name, may be skipped there
 * too: nothing that CI could install would help. The last line is always `N passed, N failed, N skipped`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { progressOf } from "../src/cli/progress.ts";
import { forbidden } from "./kit/booted.ts";

interface Result {
  passed: number;
  failed: number;
  skipped: string[];
  files: Set<string>;
}

/** Generous, because servers are started on busy machines; bunfig.toml would be ignored for it. */
const testMs = 60_000;
const root = join(import.meta.dir, "..");
const patterns = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), "sluice-test-"));
const report = join(scratch, "junit.xml");

await bun(["run", "build.ts"]);
const status = await bunTest([
  "test",
  `--timeout=${testMs}`,
  "--reporter=junit",
  `--reporter-outfile=${report}`,
  ...patterns,
]);
const result = await read(report);
rmSync(scratch, { recursive: true });

const wrong = complain(result, status);
for (const name of result.skipped) console.log(`skipped: ${name}`);
for (const complaint of wrong) console.log(`failed: ${complaint}`);
console.log(`${result.passed} passed, ${result.failed} failed, ${result.skipped.length} skipped`);
process.exit(status === 0 && wrong.length === 0 ? 0 : 1);

async function bun(args: readonly string[]): Promise<number> {
  const child = Bun.spawn([process.execPath, ...args], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const code = await child.exited;
  if (code !== 0 && args[0] !== "test") process.exit(code);
  return code;
}

/** On a terminal, one line that is written over stands for the files in which nothing failed: CI's log shows failures alone. */
async function bunTest(args: readonly string[]): Promise<number> {
  if (!process.stderr.isTTY) return bun([...args, "--only-failures"]);
  const stderr = (text: string) => void process.stderr.write(text);
  const progress = progressOf({ isTerminal: true, stderr }, (done) => `${done} test files begun`);
  const total = testFiles().filter((file) => patterns.length === 0 || patterns.some((p) => file.includes(p)));
  const child = Bun.spawn([process.execPath, ...args], {
    cwd: root,
    stdio: ["ignore", "inherit", "pipe"],
  });
  let begun = 0;
  let header = "";
  for await (const line of linesOf(child.stderr)) {
    const plain = Bun.stripANSI(line);
    if (/^test\/\S+\.test\.ts:$/.test(plain)) {
      header = `\n${line}\n`;
      progress.step(++begun, total.length);
    } else if (plain !== "" && !/^(?:\((?:pass|skip|todo)\)|[✓»✎]) /.test(plain)) {
      const isOfAll = /^ ?\d+ [a-z]/.test(plain);
      if (isOfAll && header !== "") header = "\n";
      stderr(`${header}${line}\n`);
      header = "";
    }
  }
  return child.exited;
}

async function* linesOf(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of bytes) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** The names of tests and the suites around them say why they are skipped. */
async function read(path: string): Promise<Result> {
  const xml = (await Bun.file(path).exists()) ? await Bun.file(path).text() : "";
  const found: Result = { passed: 0, failed: 0, skipped: [], files: new Set() };
  for (const [, attributes = "", body = ""] of xml.matchAll(
    /<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs,
  )) {
    const value = (name: string) =>
      unescape(new RegExp(`(?:^| )${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    found.files.add(value("file"));
    if (body.includes("<skipped"))
      found.skipped.push([value("file"), value("classname"), value("name")].filter(Boolean).join(" > "));
    else if (body.includes("<failure")) found.failed += 1;
    else found.passed += 1;
  }
  return found;
}

/**
 * What Bun's own exit code does not say. A file that cannot be loaded has no test in the report, and counts as a
 * failed one.
 */
function complain(found: Result, code: number): string[] {
  const unloaded = patterns.length > 0 ? [] : testFiles().filter((file) => !found.files.has(file));
  const complaints = unloaded.map((file) => `${file}: no test of it ran`);
  if (code !== 0 && found.failed + complaints.length === 0) complaints.push("the test run itself");
  found.failed += complaints.length;
  if (found.passed === 0) complaints.push("nothing was tested");
  const onCi = (process.env["CI"] ?? "") !== "" && process.env["CI"] !== "false";
  if (onCi && found.skipped.some((name) => !name.includes(forbidden)))
    complaints.push("on CI nothing may be skipped");
  return complaints;
}

function testFiles(): string[] {
  return [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: root })];
}

function unescape(xml: string): string {
  return xml
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&");
}
