/** Every fault a few times, as CI can afford it. `bun run test:fault` runs all of it. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { executable } from "../kit/gateway.ts";
import { mosquittoAvailable } from "../kit/mosquitto.ts";
import { postgresAvailable } from "../kit/postgres.ts";
import { faults } from "./faults/index.ts";
import { createRunner } from "./runner.ts";

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  mosquittoAvailable() ? "" : "no mosquitto",
  postgresAvailable(),
].filter(Boolean);

describe.skipIf(absent.length > 0)(
  `nothing is lost or doubled (skipped where absent: ${absent.join(", ")})`,
  () => {
    const runner = createRunner();
    afterAll(async () => {
      await runner.close();
      for (const fault of faults) fault.done?.();
    });

    for (const fault of faults.filter(({ few }) => few > 0)) {
      const why = absent.length > 0 ? "" : (fault.prepare?.() ?? "");
      test.skipIf(why !== "")(
        `${fault.says}${why && ` (${why})`}`,
        async () => {
          const row = await runner.run(fault, fault.few, 1);
          expect(row.problems).toEqual([]);
        },
        240_000,
      );
    }
  },
);
