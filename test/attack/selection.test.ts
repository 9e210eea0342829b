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

const triesMax = 3;
const isLate = (problem: string) => / during the attack \(calm [\d.]+, allowed \d+\)$/.test(problem);

describe.skipIf(absent.length > 0)(
  `no neighbour stops it (skipped where absent: ${absent.join(", ")})`,
  () => {
    const runner = createRunner();
    afterAll(() => runner.close());

    for (const attack of attacks.filter(({ few }) => few > 0)) {
      test(
        attack.says,
        async () => {
          const once = async () => {
            const fault = faultOf(attack);
            fault.prepare?.();
            const row = await runner.run(fault, attack.few, 1).finally(() => fault.done?.());
            return row.problems;
          };
          let problems = await once();
          // A machine that has other work for a while is late once; whoever is stopped by the neighbour is late every time.
          for (let tries = 1; tries < triesMax && problems.length > 0 && problems.every(isLate); tries++)
            problems = await once();
          expect(problems).toEqual([]);
        },
        240_000,
      );
    }
  },
);
