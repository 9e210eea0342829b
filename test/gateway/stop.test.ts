/** A part that throws at the stop: every other part stops all the same, and the stop reports it. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/config/index.ts";
import { explain, silentLog } from "../../src/core/log/log.ts";
import { createGateway } from "../../src/gateway.ts";
import { simulatedClock } from "../kit/clock.ts";
import { recordingLog } from "../kit/source.ts";
import { localStore } from "../kit/stores.ts";
import { endLater, scratch, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";

afterEach(stopAll);

for (const part of ["store", "watch", "source"] as const) {
  test(`the ${part} fails at the stop: the spool is closed, and HTTP answers no more`, async () => {
    const DATA_DIR = scratch();
    const real = localStore({ path: join(DATA_DIR, "local.db") });
    endLater(() => real.close());
    const fail = () => Promise.reject(new Error(`${part} broke`));
    const store = {
      ...real,
      registry: { ...real.registry, ...(part === "watch" && { watch: () => fail }) },
      close: part === "store" ? fail : () => Promise.resolve(),
    };
    const site = await startInProcess({ DATA_DIR }, { store });
    if (part === "source") site.source.close = fail;
    site.source.give(telemetry("dev-0000", 1));
    const url = `http://${site.gateway.httpAddress()}/healthz`;
    expect((await fetch(url)).status).toBe(200);
    expect(await site.gateway.stop().catch((error: Error) => error.message)).toBe(`${part} broke`);
    expect(await fetch(url).catch(() => "gone")).toBe("gone");
    expect(readFileSync(join(DATA_DIR, "spool.state"), "utf8").trim()).toBe("closed");
  });
}

test("what was opened before a part could not start is closed again, and the next start finds the spool closed", async () => {
  const DATA_DIR = scratch();
  const refuse = () => {
    throw new Error("no such source");
  };
  const failed = await startInProcess({ DATA_DIR }, { sources: refuse }).catch(explain);
  expect(failed).toBe("no such source");
  expect(readFileSync(join(DATA_DIR, "spool.state"), "utf8").trim()).toBe("closed");
  await startInProcess({ DATA_DIR });
});

test("a start that fails logs no stats", async () => {
  const other = await startInProcess();
  const { log, lines } = recordingLog();
  const HTTP_LISTEN = other.gateway.httpAddress();
  expect(await startInProcess({ HTTP_LISTEN }, { log }).catch(explain)).toContain("HTTP_LISTEN");
  await stopAll();
  expect(lines.filter(({ msg }) => msg === "stats")).toEqual([]);
});

test("a gateway that is stopped leaves no timer, whether it was started or not", async () => {
  for (const starts of [false, true]) {
    const clock = simulatedClock();
    const loaded = loadConfig({
      DATA_DIR: scratch(),
      HTTP_LISTEN: "127.0.0.1:0",
      BROKER_LISTEN: "127.0.0.1:0",
    });
    if ("mistakes" in loaded) throw new Error(loaded.mistakes.join());
    const gateway = await createGateway({ config: loaded.config, log: silentLog, clock });
    if (starts) await gateway.start();
    await gateway.stop();
    expect(clock.pending()).toBe(0);
  }
});
