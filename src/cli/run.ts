/** `sluice run`: the gateway, until it is told to stop. Its standard output is the log. */
import { createGateway } from "../gateway.ts";
import { command } from "./command.ts";
import { configured } from "./configuration.ts";

export const run = command({
  name: "run",
  summary: "Run the gateway; settings come from the environment (see `sluice help settings`)",
  async run(context) {
    const { config } = configured(context);
    const log = context.createLog(config.general.logLevel, 1);
    const gateway = await createGateway({ config, log });
    await gateway.start();
    log.info({ http: gateway.httpAddress(), broker: gateway.brokerAddress() }, "started");
    await aborted(context.signal);
    log.info({ signal: context.signal.reason }, "stopping; a second signal ends at once");
    await gateway.stop();
    log.info("stopped");
    return 0;
  },
});

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
