/**
 * AUTO_PROVISION registers unknown devices, without a token: a bounded number at once and per minute, because anybody
 * can make up a million names. A token bucket that fills by the monotonic clock says how many.
 */
import { withDeadline, type Clock } from "../core/clock.ts";
import type { Log } from "../core/log/log.ts";
import type { DeviceLookup } from "../core/registry.ts";
import type { Flight } from "./flights.ts";

/** A call that takes longer counts as not answered: a server may accept a connection and never answer. */
export const queryDeadlineMs = 2000;
export const provisionedAtOnceMax = 1_000;
const provisionedPerSecond = 10 / 60;
const warnEveryMs = 600_000;

export interface ProvisioningParts {
  readonly registry: Pick<DeviceLookup, "provision">;
  readonly clock: Clock;
  readonly log: Log;
  /** Called if the registry did not register them. */
  readonly failed: (error: unknown) => void;
}

export interface Provisioning {
  /** The strangers whose site is known, as many as the allowance permits: it is spent. */
  choose(strangers: readonly Flight[]): Flight[];
  /** Registers those that were chosen. */
  register(chosen: readonly Flight[]): Promise<void>;
  /** How often one was not registered because there were too many. */
  leftOut(): number;
}

export function createProvisioning({ registry, clock, log, failed }: ProvisioningParts): Provisioning {
  const take = allowance(clock, provisionedAtOnceMax, provisionedPerSecond);
  let leftOut = 0;
  let warnedMs = Number.NEGATIVE_INFINITY;

  function leaveOut(more: number) {
    if (more === 0) return;
    leftOut += more;
    if (clock.monoMs() - warnedMs < warnEveryMs) return;
    warnedMs = clock.monoMs();
    log.warn(
      { not_registered: leftOut },
      `more new devices than AUTO_PROVISION registers (${provisionedAtOnceMax} at once, then 10 per minute): the others stay UNREGISTERED_DEVICE; sluice devices import registers a fleet`,
    );
  }

  return {
    choose(strangers) {
      const wanted = strangers.filter(({ siteId }) => siteId !== null);
      const chosen = wanted.slice(0, take(wanted.length));
      leaveOut(wanted.length - chosen.length);
      return chosen;
    },
    async register(chosen) {
      const devices = chosen.map(({ tenantId, deviceId, siteId }) => ({
        tenantId,
        deviceId,
        siteId: siteId ?? "",
      }));
      if (devices.length === 0) return;
      try {
        await withDeadline(clock, queryDeadlineMs, "AUTO_PROVISION", registry.provision(devices));
      } catch (error) {
        failed(error);
      }
    },
    leftOut: () => leftOut,
  };
}

/** @returns a function that takes up to `wanted`, and returns how many it took */
function allowance(clock: Clock, burst: number, perSecond: number): (wanted: number) => number {
  let left = burst;
  let filledMs = clock.monoMs();
  return (wanted) => {
    const nowMs = clock.monoMs();
    left = Math.min(burst, left + ((nowMs - filledMs) / 1000) * perSecond);
    filledMs = nowMs;
    const given = Math.min(wanted, Math.floor(left));
    left -= given;
    return given;
  };
}
