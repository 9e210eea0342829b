import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemdUnit } from "../../src/cli/service/systemd-unit.ts";
import { allSettings } from "../../src/config/tables.ts";
import { credentialOf } from "../../src/core/settings.ts";

/** All values of a directive. */
const directive = (name: string) =>
  systemdUnit
    .split("\n")
    .filter((line) => line.startsWith(`${name}=`))
    .map((line) => line.slice(name.length + 1));

test("the unit waits for the clock if the host waits for it", () => {
  expect(directive("After")[0]?.split(" ")).toContain("time-sync.target");
});

test("a gateway without progress leaves no core dump with a token in it, and a leak ends only the gateway", () => {
  expect(directive("WatchdogSignal")).toEqual(["SIGKILL"]);
  expect(directive("LimitCORE")).toEqual(["0"]);
  expect(directive("MemoryMax")).toEqual(["75%"]);
});

test("every secret and every private key may be a credential, and none must be", () => {
  const isOne = ({ secret, name }: (typeof allSettings)[number]) => secret || name.endsWith("_TLS_KEY");
  const ids = allSettings.filter(isOne).map(({ name }) => credentialOf(name));
  expect(directive("LoadCredential")).toEqual(ids.map((id) => `${id}:/etc/sluice/credentials/${id}`));
  expect(directive("SetCredential")).toEqual(ids.map((id) => `${id}:(none)`));
});

test("it names the manual, and its reload is a signal that needs no program of a package", () => {
  expect(directive("Documentation")).toEqual(["man:sluice(8)"]);
  expect(directive("ExecReload")).toEqual(['/bin/sh -c "kill -HUP $$MAINPID"']);
});

const noAnalyze = Bun.which("systemd-analyze") === null ? "skipped: no systemd-analyze" : "";
test.skipIf(noAnalyze !== "")(
  `its exposure, as systemd-analyze counts it, is at most 1.5 ${noAnalyze}`,
  () => {
    const dir = mkdtempSync(join(tmpdir(), "sluice-unit-"));
    const file = join(dir, "sluice.service");
    writeFileSync(file, systemdUnit);
    const words = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", file];
    const asked = Bun.spawnSync(words);
    rmSync(dir, { recursive: true });
    const score = /Overall exposure level for sluice\.service: ([\d.]+)/.exec(asked.stdout.toString())?.[1];
    expect(Number(score)).toBeLessThanOrEqual(1.5);
    expect(asked.exitCode).toBe(0);
  },
);
