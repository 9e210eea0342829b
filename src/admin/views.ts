/** What the HTTP surface sees of a gateway. view.ts implements it; a test needs ten lines to fake it. */
import type { CacheStats } from "./cache-stats.ts";
import type { SetAside } from "./review/set-aside.ts";
import type { DeadLetterQueue } from "./review/dead-letter-rows.ts";
import type { HeardDevices } from "./heard-devices.ts";
import type { ReasonRow } from "../judge/reasons.ts";
import type { Follow } from "./follow.ts";
import type { Sample } from "./history.ts";
import type { Measurements, Stats } from "./measurements.ts";
import type { LatestParts } from "../core/latest-view.ts";
import type { PartReadiness } from "./readiness.ts";
import type { RejectsView } from "./recent-rejects.ts";
import type { DeviceId, DeviceStore } from "../core/device.ts";
import type { Counts } from "../core/kind.ts";
import type { QuarantineQueue } from "./review/quarantine-rows.ts";
import type { SettingStore } from "./setting-store.ts";

export interface CacheView {
  stats(): CacheStats;
  /** Queries asked of the registry since the start: what `errors` is a part of. */
  queries(): number;
  /** How many rows went. */
  clear(): number;
  /** Returns how many of the devices were cached. The answer to a look-up that is under way for one of them is not cached either. */
  forget(devices: readonly DeviceId[]): number;
  forgetTenant(tenantId: string): number;
}

/** What only some kinds of sinks and sources count in `/stats`. */
export interface Counted {
  readonly sinks: Counts;
  readonly sources: Counts;
}

export interface GatewayView {
  readonly counted: Counted;
  stats(): Stats;
  measurements(): Measurements;
  ready(): readonly PartReadiness[];
  /** Every reason for which the judge may reject. */
  readonly reasons: readonly ReasonRow[];
  /** The last day, a sample per minute. */
  history(): readonly Sample[];
  follow: Follow["follow"];
  readonly cache: CacheView;
  readonly devices: DeviceStore;
  readonly heard: HeardDevices;
  readonly settings: SettingStore;
  readonly rejects: RejectsView;
  readonly latest: LatestParts;
  readonly deadLetters: DeadLetterQueue;
  readonly setAside: SetAside;
  readonly quarantine: QuarantineQueue;
}
