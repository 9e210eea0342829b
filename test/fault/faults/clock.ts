/** The wall clock is set forth and back a day. The only fault that needs the gateway inside this process: its clock is a parameter. */
import pino from "pino";
import { loadConfig } from "../../../src/config.ts";
import { systemClock, type Clock } from "../../../src/core/clock.ts";
import { createGateway } from "../../../src/gateway.ts";
import type { Fault } from "../fault.ts";
import type { Gateway } from "../site.ts";

const dayMs = 86_400_000;
let offsetMs = 0;

const steppedClock: Clock = { ...systemClock, wallMs: () => Date.now() + offsetMs };

async function launch(env: Record<string, string>, dataDir: string): Promise<Gateway> {
  const loaded = loadConfig({
    DATA_DIR: dataDir,
    GATEWAY_ID: "test-gateway",
    HTTP_LISTEN: "127.0.0.1:0",
    ...env,
  });
  if (!("config" in loaded)) throw new Error(loaded.mistakes.join("\n"));
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const gateway = await createGateway({ config: loaded.config, log, clock: steppedClock });
  await gateway.start();
  let ended = false;
  const stop = async () => {
    if (!ended) await gateway.stop();
    ended = true;
    return 0;
  };
  return {
    pid: process.pid,
    stats: () => Promise.resolve(gateway.view.stats()),
    stop,
    kill9: async () => void (await stop()),
    log: () => lines.join(""),
    exitCode: () => null,
  };
}

export const clockFaults: readonly Fault[] = [
  {
    name: "clock-stepped",
    says: "Wall clock stepped a day forth, and two back, under load",
    site: { launch, faults: {} },
    few: 4,
    many: 20,
    async run(_, times, random) {
      for (let i = 0; i < times; i++) {
        offsetMs = i % 2 === 0 ? dayMs : -dayMs;
        await Bun.sleep(random.whole(100, 400));
      }
      offsetMs = 0;
      return times;
    },
  },
];
