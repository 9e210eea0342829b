/** The column types that the InfluxDB sink has learned, and the file of them. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/core/log/log.ts";
import { columnsMax, createTypeMap } from "../../src/sink/influx/types.ts";
import { simulatedClock } from "../kit/clock.ts";

test("columns beyond the bound, as of a device that names its metrics by a time, are not written for ever", () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-types-"));
  try {
    const clock = simulatedClock();
    const path = join(dir, "influx-types.json");
    const types = createTypeMap({ path, integerFields: [], reserved: [], clock, log: silentLog });
    const store = (name: string) => {
      types.table("db", "telemetry").column(name);
      types.confirm("db", "telemetry", [[name, "float"]]);
    };
    for (let n = 0; n < columnsMax; n += 1) store(`at-${n}`);
    clock.advance(60_000);
    expect(clock.pending()).toBe(0);
    rmSync(path);
    store("another");
    expect(clock.pending()).toBe(0);
    expect(existsSync(path)).toBe(false);
    types.confirm("db", "telemetry", [["at-0", "integer"]]);
    expect(clock.pending()).toBe(1);
    types.close();
  } finally {
    rmSync(dir, { recursive: true });
  }
});
