/**
 * What a power cut may not take is on the disk before anybody is told so. strace stands between the program and the kernel, for no test
 * can cut the power, and a kill leaves to the kernel what was written.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { forbidden } from "../../kit/booted.ts";
import { durableWorks } from "../../kit/durable-works.ts";

const program = fileURLToPath(import.meta.resolve("../../kit/durable-works.ts"));
const strace = Bun.which("strace") ?? "";
const why = straceUnusable();

let directory = "";
beforeEach(() => (directory = realpathSync(mkdtempSync(join(tmpdir(), "sluice-power-")))));
afterEach(() => rmSync(directory, { recursive: true }));

/** "" if a program can be watched here, else why not. */
function straceUnusable(): string {
  if (strace === "") return " (skipped: strace is not installed)";
  const { exitCode, stderr } = Bun.spawnSync([strace, "-qq", "-o/dev/null", "true"]);
  return exitCode === 0 ? "" : ` (${forbidden}: ${stderr.toString().split("\n")[0]})`;
}

/** The system calls of a work that write, flush or rename, in order. */
function callsOf(name: string): string[] {
  const trace = join(directory, "trace");
  const calls =
    "write,pwrite64,writev,pwritev,pwritev2,ftruncate,copy_file_range,sendfile,fsync,fdatasync,rename,renameat,renameat2,mkdir";
  const words = ["-f", "-y", "-s0", "-qq", `-etrace=${calls}`, `-o${trace}`];
  const { exitCode, stderr } = Bun.spawnSync([
    strace,
    ...words,
    process.execPath,
    program,
    name,
    join(directory, "data"),
  ]);
  expect({ exitCode, said: exitCode === 0 ? "" : stderr.toString() }).toEqual({ exitCode: 0, said: "" });
  const lines = readFileSync(trace, "utf8").split("\n");
  const at = (mark: string) => lines.findIndex((line) => line.includes(`mkdir("${directory}/${mark}"`));
  expect(at("begun")).toBeGreaterThan(0);
  return lines.slice(at("begun") + 1, at("done"));
}

/** The file that a call is on: by its name, or the last that it has open, which a copy goes to. While another thread calls, its line has no end. */
function pathOf(line: string): string {
  const [, call = "", given = ""] = /^\d+ +(\w+)\((.*)/.exec(line) ?? [];
  if (call.startsWith("rename")) return /"([^"]*)"/.exec(given)?.[1] ?? "";
  const [first = "", ...others] = [...given.matchAll(/\d+<(\/[^>]*)>/g)].map(([, path = ""]) => path);
  return call === "copy_file_range" ? (others.at(-1) ?? "") : first;
}

const isSync = (line: string) => /^\d+ +f(?:data)?sync\(/.test(line);
const isRename = (line: string) => /^\d+ +rename/.test(line);

/** Made anew at each start, and empty or worthless after it. */
const forgettable = /-shm$|\/spool\.lock-journal$/;

/** What a power cut would take: what was renamed, or told of, before it was flushed. */
function atRisk(calls: readonly string[]): string[] {
  const unflushed = new Set<string>();
  const early: string[] = [];
  for (const line of calls) {
    const path = pathOf(line);
    if (!path.startsWith(directory) || forgettable.test(path)) continue;
    if (isSync(line)) unflushed.delete(path);
    else if (!isRename(line)) unflushed.add(path);
    else if (unflushed.has(path)) early.push(path);
  }
  return [...early, ...unflushed];
}

/** Directories of which the names must be there, too, for nothing else says that the file is. */
const newIn: Readonly<Record<string, readonly string[]>> = {
  lines: ["data"],
  backup: ["copy/of-it", "copy", ""],
  repair: ["data"],
};

test.skipIf(why !== "").each(durableWorks)(`%s: nothing is left to the kernel${why}`, (name) => {
  const calls = callsOf(name);
  expect(calls.some(isSync)).toBe(true);
  const flushed = calls
    .slice(calls.findLastIndex(isRename) + 1)
    .filter(isSync)
    .map(pathOf);
  for (const each of newIn[name] ?? []) expect(flushed).toContain(join(directory, each).replace(/\/$/, ""));
  expect(atRisk(calls)).toEqual([]);
});
