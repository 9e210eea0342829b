/**
 * A process of its own, to be killed: a gateway that reads a log of `messagesMax` numbered messages of many devices, far more than
 * its auth cache holds, so that at any moment some wait for a look-up and others pass them. `DATA_DIR` is its one argument.
 */
import { systemClock } from "../../src/core/clock.ts";
import { loadConfig } from "../../src/config/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { Intake } from "../../src/core/message.ts";
import type { Source } from "../../src/core/source.ts";
import { createGateway } from "../../src/gateway.ts";

import { fleet, registered, telemetry } from "./inprocess.ts";
import { localRegistry } from "./stores.ts";

export const messagesMax = 20_000;
const atOnce = 500;
const devices = fleet(200);

function logSource(marks: ReadonlyMap<string, string>): Source {
  let next = Number(marks.get("log") ?? 0);
  const [first, isTaking] = [next, { now: true }];
  let settled = 0;
  async function read(intake: Intake): Promise<void> {
    while (isTaking.now && next < messagesMax) {
      for (let n = 0; n < atOnce && next < messagesMax && !intake.isFull(); n++) give(intake, next++);
      await new Promise(setImmediate);
    }
  }
  function give(intake: Intake, n: number): void {
    const device = devices[(n * 7919) % devices.length] ?? "";
    const message = telemetry(device, n, { metrics: { n } }, systemClock.wallMs());
    intake.receive({
      ...message,
      dup: true,
      redeliveryKey: () => n,
      mark: { key: "log", value: String(n + 1) },
    });
  }
  return {
    async start(intake) {
      void read(intake);
    },
    durable(messages) {
      settled += messages.length;
      if (first + settled === messagesMax) console.log("done");
    },
    reconnect() {},
    async stopIntake() {
      isTaking.now = false;
    },
    async close() {},
    status: () => ({ kind: "log", connected: true, detail: "", reconnects: 0, unacknowledged: 0 }),
  };
}

if (import.meta.main) {
  const dataDir = process.argv[2] ?? "";
  const registry = localRegistry({ path: `${dataDir}/local.db` });
  await registry.add(registered(devices));
  await registry.close();
  const loaded = loadConfig({
    DATA_DIR: dataDir,
    HTTP_LISTEN: "127.0.0.1:0",
    RATE_LIMIT_RPS: "0",
    AUTH_CACHE_MAX_SIZE: "40",
  });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  const gateway = await createGateway({
    config: loaded.config,
    log: silentLog,
    sources: (marks) => {
      console.log(`from ${marks.get("log") ?? 0}`);
      return [logSource(marks)];
    },
  });
  await gateway.start();
  console.log("started");
  process.on("SIGTERM", () => void gateway.stop());
}
