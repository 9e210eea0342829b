/** The log in the form for its reader: a person at a real terminal, the journal, a program. */
import { afterAll, expect, test } from "bun:test";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { forPeople, logForm } from "../../../src/core/log/form.ts";

const directory = mkdtempSync(join(tmpdir(), "sluice-log-form-"));
afterAll(() => rmSync(directory, { recursive: true }));

const line = (fields: object) =>
  `${JSON.stringify({ level: "warn", time: "2026-01-02T03:04:05.678Z", ...fields })}\n`;

test("for people: the level, the sentence, then its details, on one line", () => {
  const told = forPeople(false)(line({ sink: "influx", lanes: ["a"], message: "sink cannot deliver" }));
  expect(told).toMatch(/^\d\d:\d\d:05 WARN {2}sink cannot deliver {2}sink=influx {2}lanes=\["a"\]\n$/);
});

test("a device's text stays one line, and a terminal obeys none of it, in colour or not", () => {
  const evil = line({ topic: "a\u001b[2J\nERROR forged", message: "rejected\u0007" });
  for (const inColour of [false, true]) {
    const told = forPeople(inColour)(evil);
    expect(told.trimEnd()).not.toContain("\n");
    expect(told).toContain(String.raw`a\u001b[2J\nERROR forged`);
    expect(told).not.toContain("\u001b[2J");
    expect(told).not.toContain("\u0007");
  }
});

test("the journal's own descriptor gets the priority of each line, any other gets JSON", () => {
  const path = join(directory, "stream");
  const fd = openSync(path, "w");
  const { dev, ino } = fstatSync(fd);
  const priority = (level: string) =>
    logForm(fd, { JOURNAL_STREAM: `${dev}:${ino}` })(line({ level })).slice(0, 3);
  expect(["debug", "info", "warn", "error", "fatal"].map(priority)).toEqual([
    "<7>",
    "<6>",
    "<4>",
    "<3>",
    "<2>",
  ]);
  expect(logForm(fd, { JOURNAL_STREAM: "1:2" })(line({}))).toBe(line({}));
  expect(logForm(fd, {})(line({}))).toBe(line({}));
  closeSync(fd);
});

test("at a real terminal it is readable and in colour; NO_COLOR is obeyed; in a pipe it is JSON", async () => {
  const program = fileURLToPath(import.meta.resolve("../../kit/log-writer.ts"));
  const atTerminal = async (env: string) => {
    const out = join(directory, "typescript");
    await Bun.spawn(["script", "-qec", `${env} ${process.execPath} ${program}`, out], {
      stdin: "ignore",
      stdout: "ignore",
    }).exited;
    return readFileSync(out, "utf8");
  };
  expect(await atTerminal("NO_COLOR= TERM=xterm")).toContain("\u001b[33mWARN \u001b[39m said");
  expect(await atTerminal("NO_COLOR=1 TERM=xterm")).toContain("WARN  said  who=me");
  const piped = Bun.spawnSync([process.execPath, program]).stdout.toString();
  expect(JSON.parse(piped)).toMatchObject({ level: "warn", who: "me", message: "said" });
});
