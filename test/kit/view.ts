/** The view of the HTTP surface, for its tests: invented stats, and a real registry and settings in memory. */
import { systemClock } from "../../src/core/clock.ts";
import { createDeviceStore, createSettingStore } from "../../src/admin/live-stores.ts";
import { DeviceActivity } from "../../src/admin/device-activity.ts";
import { createHeardDevices } from "../../src/admin/heard-devices.ts";
import { RecentRejects } from "../../src/admin/recent-rejects.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { ReviewQueue } from "../../src/admin/review/review-queue.ts";
import { Histogram } from "../../src/core/histogram.ts";
import type { CacheStats } from "../../src/admin/cache-stats.ts";
import type { GatewayView } from "../../src/admin/views.ts";
import type { Measurements, Stats } from "../../src/admin/measurements.ts";
import { createLivePolicy } from "../../src/admin/policy.ts";
import { localRegistry } from "./stores.ts";
import type { LatestView } from "../../src/core/latest-view.ts";
import type { DeviceId } from "../../src/core/device.ts";
import { aPolicy } from "./builders.ts";

export const someCacheStats: CacheStats = {
  size: 1,
  max_size: 10,
  ttl_seconds: 60,
  hits: 3,
  misses: 1,
  hit_rate: 0.75,
  errors: 0,
  stale_hits: 0,
  evictions: 0,
  shared: null,
};

export const noStats: Stats = {
  version: "0",
  gateway_id: "g",
  uptime_seconds: 0,
  balanced: true,
  attention: { level: "working", text: "Working", since: null, detail: null, remedy: null },
  parts: [],
  ingest: { received: 0, accepted: 0, rejected: {}, duplicate: 0, judging: 0 },
  log: { lines_lost: 0 },
  clock: { believed: true, time_known: true, detail: null },
  auth_cache: someCacheStats,
  spool: {
    entries: 0,
    bytes: 0,
    bytes_max: 10_000,
    free_disk_bytes: 5_000_000_000,
    free_bytes_min: 1_000_000,
    oldest_age_seconds: 0,
  },
  certificates: [],
  watchdog: { progressing: true, stalls: 0 },
  sources: [],
  sinks: {},
};

/** What /metrics would show of it. */
function someMeasurements(view: GatewayView): Measurements {
  const nothing = new Histogram().stats();
  return {
    stats: view.stats(),
    ready: view.ready(),
    commit: "0123456789ab",
    reasons: ["TOKEN_INVALID", "BAD_JSON"],
    counters: new Set(["writes_ok"]),
    intakeLatency: nothing,
    sinkLatencies: {},
    certificates: [],
  };
}

export interface FakeView {
  readonly view: GatewayView;
  readonly registry: ReturnType<typeof localRegistry>;
  /** Devices that the cache had to forget, as tenant/device; "tenant/*" and "*" for more. */
  readonly forgotten: string[];
}

export function fakeView(changes: Partial<GatewayView> = {}): FakeView {
  const registry = localRegistry({ path: ":memory:" });
  const policy = createLivePolicy(aPolicy(), silentLog);
  const forgotten: string[] = [];
  const forget = (ids: readonly DeviceId[]) => {
    for (const { tenantId, deviceId } of ids) forgotten.push(`${tenantId}/${deviceId}`);
    return ids.length;
  };
  const devices = createDeviceStore(registry, forget);
  const latest = { view: noLatest, ttlMs: 86_400_000, nowMs: () => Date.now() };
  const rejects = new RecentRejects(() => {});
  const view: GatewayView = {
    counted: { sinks: {}, sources: {} },
    stats: () => noStats,
    ready: () => [],
    reasons: [],
    history: () => [],
    follow: () => () => {},
    measurements: () => someMeasurements(view),
    cache: {
      stats: () => someCacheStats,
      queries: () => 0,
      clear: () => forgotten.push("*"),
      forget,
      forgetTenant: (tenantId) => forgotten.push(`${tenantId}/*`),
    },
    devices,
    heard: createHeardDevices({
      ...{ devices, activity: new DeviceActivity(), rejects, latest },
      sources: [],
      clock: systemClock,
    }),
    settings: createSettingStore(registry, policy.get, async () => policy.apply(await registry.settings())),
    rejects: { list: () => [] },
    latest,
    deadLetters: emptyQueue(),
    setAside: () => Promise.resolve(undefined),
    quarantine: emptyQueue(),
    ...changes,
  };
  return { view, registry, forgotten };
}

const noLatest: LatestView = {
  get: (ids) => Promise.resolve(ids.map(() => null)),
  seen: () => Promise.resolve({ devices: [], next: null }),
  close() {},
};

function emptyQueue<Row, Full>(): ReviewQueue<Row, Full> {
  const nothing = { matched: 0, done: 0, kept: [], next: null, up_to: 0 };
  return {
    list: () => Promise.resolve([]),
    show: () => Promise.resolve(undefined),
    replay: () => Promise.resolve(nothing),
    discard: () => Promise.resolve(nothing),
  };
}
