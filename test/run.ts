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
const status = await bun([
  "test",
  `--timeout=${testMs}`,
  "--only-failures",
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
