import { expect, test } from "bun:test";
import { systemdUnit } from "../../src/cli/systemd-unit.ts";

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
