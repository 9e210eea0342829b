/**
 * Tells systemd how the service is (sd_notify(3)): ready, stopping, and alive as long as there is progress.
 *
 * Through systemd's own `systemd-notify`, since Bun has no datagram socket in the Unix domain: a short process now and
 * then, only under a unit of Type=notify. Without NOTIFY_SOCKET nothing is done at all.
 */
import type { Clock } from "./core/clock.ts";
import { explain, type Log } from "./core/log.ts";

export interface Systemd {
  /** state: "READY=1", "STOPPING=1", "WATCHDOG=1". */
  notify(state: string): void;
  /** Feeds the watchdog of the unit (WatchdogSec=) as long as `isProgressing` says so. Returns what ends it. */
  feed(isProgressing: () => boolean): () => void;
}

interface Options {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs systemd-notify. */
  readonly spawn?: (state: string) => void;
}

export function systemdOf({ env, clock, log, spawn = spawnNotify }: Options): Systemd {
  const isUnit = (env["NOTIFY_SOCKET"] ?? "") !== "";
  const watchdogMs = Number(env["WATCHDOG_USEC"] ?? 0) / 1000;

  function notify(state: string): void {
    if (!isUnit) return;
    try {
      spawn(state);
    } catch (error) {
      log.warn({ error: explain(error), state }, "systemd cannot be told: is systemd-notify there?");
    }
  }

  function feed(isProgressing: () => boolean): () => void {
    if (!isUnit || !(watchdogMs > 0)) return () => {};
    const timer = clock.every(watchdogMs / 3, () => {
      if (isProgressing()) notify("WATCHDOG=1");
    });
    return () => timer.cancel();
  }

  return { notify, feed };
}

function spawnNotify(state: string): void {
  Bun.spawn(["systemd-notify", state], { stdio: ["ignore", "ignore", "ignore"] });
}
