/**
 * `sluice run`: the gateway, until it is told to stop. Its standard output is the log, which also says why it could
 * not start. A wrong configuration is reported in plain text on standard error, because the configuration decides
 * what is logged.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../core/clock.ts";
import { doubtOfDisk } from "./disk-kind.ts";
import { explain } from "../core/log/log.ts";
import { createGateway, type Gateway, type GatewayOptions } from "../gateway.ts";
import { systemdOf } from "./service/notify.ts";
import { commit, version } from "../version.ts";
import type { Loaded } from "../config/index.ts";
import { command, type Context } from "./command.ts";
import { configured, loaded } from "./configuration.ts";
import { statusText } from "./service/status-text.ts";

export const run = command({
  name: "run",
  summary: "Run the gateway; settings come from the environment (see `sluice help settings`)",
  async run(context) {
    const { config } = configured(context);
    const log = context.createLog(config.general.logLevel, 1);
    let hangup = () => {};
    context.onHangup?.(() => hangup());
    const systemd = systemdOf({ env: context.env, clock: systemClock, log });
    systemd.notify(`EXTEND_TIMEOUT_USEC=${startUsMax(config.general.dataDir)}`);
    const gateway = await started({ config, log, reload: () => loaded(context), ends: context.signal });
    if (typeof gateway === "number") return gateway;
    const reload = () => gateway.reload(loadedAgain(context));
    hangup = () =>
      void systemd
        .whileReloading(reload)
        .catch((error: unknown) => log.error({ error: explain(error) }, "nothing was reloaded"));
    systemd.notify("READY=1");
    const starve = systemd.feed(gateway.isProgressing);
    const hide = systemd.show(statusText(gateway.view.stats, systemClock));
    const { gatewayId, dataDir } = config.general;
    const doubt = doubtOfDisk(dataDir);
    if (doubt !== undefined) log.warn({ data_dir: dataDir }, `DATA_DIR is on ${doubt}`);
    log.info(
      {
        version,
        commit,
        gateway_id: gatewayId,
        data_dir: dataDir,
        http: gateway.httpAddress(),
        broker: gateway.sourceAddress("broker"),
        ingest: gateway.sourceAddress("http_ingest"),
      },
      "started",
    );
    // Code that only a start runs would stay as well (engine-settings.ts), and be 4 MB of what lives.
    Bun.shrink();
    await aborted(context.signal);
    log.info({ signal: context.signal.reason }, "stopping; a second signal ends the process at once");
    hangup = () => {};
    hide();
    systemd.notify("STOPPING=1");
    await gateway.stop();
    starve();
    log.info("stopped");
    return 0;
  },
});

/** A start looks through the whole spool: a microsecond per byte, which a slow memory card can do. systemd's own limit counts if it is later. */
function startUsMax(dataDir: string): number {
  try {
    return statSync(join(dataDir, "spool.db")).size;
  } catch {
    // There is none yet, or the start itself says why it cannot be looked at.
    return 0;
  }
}

/** A file of settings that cannot be read any more is a mistake like those within it. */
function loadedAgain(context: Context): Loaded {
  try {
    return loaded(context.again?.() ?? context);
  } catch (error) {
    return { mistakes: [explain(error).trim()], warnings: [] };
  }
}

/** If a part cannot start, closes what was opened before, and returns the exit code; the log says why. */
async function started(options: GatewayOptions): Promise<Gateway | 0 | 1> {
  const { log, ends } = options;
  let gateway: Gateway | undefined;
  try {
    gateway = await createGateway(options);
    await gateway.start();
    return gateway;
  } catch (error) {
    // Told at once, for closing takes its time, in which a signal may come: that is not why the start has ended.
    const isStopped = ends?.aborted === true;
    if (!isStopped) log.fatal({ error: explain(error) }, "cannot start");
    await gateway?.stop().catch(() => {});
    if (!isStopped) return 1;
    log.info("stopped before it had started");
    return 0;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
