/** `sluice run`: the gateway, until it is told to stop. Its standard output is the log. */
import { systemClock } from "../core/clock.ts";
import { createGateway } from "../gateway.ts";
import { systemdOf } from "../systemd.ts";
import { command } from "./command.ts";
import { configured } from "./configuration.ts";

export const run = command({
  name: "run",
  summary: "Run the gateway; settings come from the environment (see `sluice help settings`)",
  async run(context) {
    const { config } = configured(context);
    const log = context.createLog(config.general.logLevel, 1);
    const gateway = await createGateway({ config, log });
    const systemd = systemdOf({ env: context.env, clock: systemClock, log });
    await gateway.start();
    systemd.notify("READY=1");
    const starve = systemd.feed(gateway.isProgressing);
    log.info({ http: gateway.httpAddress(), broker: gateway.brokerAddress() }, "started");
    await aborted(context.signal);
    log.info({ signal: context.signal.reason }, "stopping; a second signal ends at once");
    systemd.notify("STOPPING=1");
    await gateway.stop();
    starve();
    log.info("stopped");
    return 0;
  },
});

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
