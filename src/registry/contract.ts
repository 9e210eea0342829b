/**
 * The look-up as the rest of the gateway sees it: whoever asks for a device hears once what the registry says of it.
 * How many questions become few queries is lookup.ts.
 */
import type { RegistryWatcher } from "../core/registry.ts";
import type { SharedCache } from "../core/shared-cache.ts";
import type { Answer } from "./flights.ts";

/** Counters, named as in `/stats`. */
export interface LookupStats {
  readonly available: boolean;
  readonly queries: number;
  /** Devices looked up, all queries together. */
  readonly devices: number;
  readonly errors: number;
  /** Devices that wait for an answer. */
  readonly waiting: number;
  /** How often AUTO_PROVISION did not register a device that asked, because there were too many. */
  readonly not_provisioned: number;
  readonly last_error: string | null;
  /** Why the registry does not notify of changes, so that devices are read again every second; null if it does. */
  readonly changes_unheard: string | null;
}

export interface Lookup {
  /**
   * Looks up one device; `done` is called once, never before `resolve` returned. A device that already waits is not
   * looked up twice. `siteId` is for AUTO_PROVISION.
   */
  resolve(tenantId: string, deviceId: string, siteId: string | null, done: (answer: Answer) => void): void;
  /** Calls `run` whenever the registry answers again after it did not. */
  onAvailable(run: () => void): void;
  /** The watched registry calls this. */
  readonly watcher: RegistryWatcher;
  stats(): LookupStats;
  /** What the shared cache counts; null if nothing is shared. */
  sharedStats(): ReturnType<SharedCache["stats"]> | null;
  /** Answers all flights with "unavailable" and looks up nothing more. */
  close(): void;
}
