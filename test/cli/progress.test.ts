/** How far a long command has come: for a person at a terminal, and for nobody else. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { counted } from "../../src/core/text/readable.ts";
import { progressOf } from "../../src/cli/progress.ts";
import { runCommand } from "../kit/command.ts";
import { registered, scratch, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";

const moved = (rows: number) => `${counted(rows, "row")} moved`;

test("one line is written over, a shorter one covers a longer, and the last state stays", () => {
  let text = "";
  const progress = progressOf({ isTerminal: true, stderr: (more) => void (text += more) }, moved);
  progress.step(1_000, 4_000);
  // Too soon after the first to be written, but it is what stays.
  progress.step(4_000, 4_000);
  progress.end();
  const [first = "", last = ""] = text.split("\r").slice(1);
  expect(first).toBe(`[${"#".repeat(6)}${"-".repeat(18)}] 25 %  1,000 rows moved`);
  expect(last).toBe(`[${"#".repeat(24)}] 100 %  4,000 rows moved\n`);
});

test("without a total there is no bar, and without a step no line", () => {
  let text = "";
  const stderr = (more: string) => void (text += more);
  progressOf({ isTerminal: true, stderr }, moved).end();
  expect(text).toBe("");
  const progress = progressOf({ isTerminal: true, stderr }, moved);
  progress.step(1);
  expect(text).toBe("\r1 row moved");
});

test("verify, repair, export and import of spool and devices show it on a terminal's standard error, and write nothing of it to a pipe", async () => {
  const directory = scratch();
  const data = join(directory, "data");
  mkdirSync(data);
  const running = await startInProcess({ DATA_DIR: data });
  await running.gateway.view.devices.add(registered(["d1"]));
  running.source.give(...Array.from({ length: 20 }, (_, seq) => telemetry("d1", seq)));
  await running.acknowledged();
  await running.gateway.stop();
  const fleet = join(directory, "fleet.csv");
  await Bun.write(fleet, "tenant_id,device_id,site_id\nacme,d2,hall\n");
  const env = { DATA_DIR: data, GATEWAY_ID: "test" };
  const commands: [string[], string][] = [
    [["spool", "verify"], "is the last entry read"],
    [["spool", "repair"], "is the last entry read"],
    [["spool", "export", "--output", join(directory, "out")], "is the last entry read"],
    [["devices", "import", fleet], "1 line read"],
    [["devices", "export"], "2 devices read"],
  ];
  for (const [words, what] of commands) {
    const shown = await runCommand(words, { env, isTerminal: true });
    expect([words, shown.err.includes(what)]).toEqual([words, true]);
    expect(shown.out).not.toContain(what);
    const piped = await runCommand(
      words.map((word) => word.replace(/out$/, "out2")),
      { env },
    );
    expect(piped.err).not.toContain(what);
  }
  expect(readdirSync(directory)).toContain("out");
  await stopAll();
});

test.each(["quarantine", "dead-letters"])("%s replay and discard show it too", async (queue) => {
  const running = await startInProcess({ DATA_DIR: scratch() });
  await running.gateway.view.devices.add(registered(["d1"]));
  running.source.give(telemetry("d1", 1, { provision_token: "tok-wrong" }));
  await running.acknowledged();
  for (const verb of ["replay", "discard"]) {
    const words = [queue, verb, "--all", "--dry-run", "--gateway", `http://${running.gateway.httpAddress()}`];
    const shown = await runCommand(words, { env: {}, isTerminal: true });
    expect(shown.err).toMatch(/\r\d processed *\n/);
    expect(shown.out).not.toContain("processed");
    expect((await runCommand(words, { env: {} })).err).not.toContain("\r");
  }
  await stopAll();
});
