/** Attacks as often as CI can afford. `bun run test:attack` is the whole of it. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { createRunner } from "../fault/runner.ts";
import { executable } from "../kit/gateway.ts";
import { mosquittoAvailable } from "../kit/mosquitto.ts";
import { postgresAvailable } from "../kit/postgres.ts";
import { faultOf } from "./attack.ts";
import { attacks } from "./attacks/index.ts";

const absent = [
  existsSync(executable) ? "" : "dist/sluice is missing: bun run build",
  mosquittoAvailable() ? "" : "no mosquitto",
  postgresAvailable(),
].filter(Boolean);

describe.skipIf(absent.length > 0)(
  `no neighbour stops it (skipped where absent: ${absent.join(", ")})`,
  () => {
    const runner = createRunner();
    afterAll(() => runner.close());

    for (const attack of attacks.filter(({ few }) => few > 0)) {
      test(
        attack.says,
        async () => {
          const fault = faultOf(attack);
          fault.prepare?.();
          const row = await runner.run(fault, attack.few, 1).finally(() => fault.done?.());
          expect(row.problems).toEqual([]);
        },
        240_000,
      );
    }
  },
);
