/** What HTTP and the page see of a gateway (views.ts), made of its parts. */
import { reasons } from "../judge/reasons.ts";
import { commit } from "../version.ts";
import { createHeardDevices } from "./heard-devices.ts";
import { createCacheView, createDeviceStore, createSettingStore } from "./live-stores.ts";
import { readinessOf } from "./readiness.ts";
import { setAsideAt } from "./review/set-aside.ts";
import { statsOf } from "./stats.ts";
import type { ViewedParts } from "./viewed-parts.ts";
import type { GatewayView } from "./views.ts";
import type { Measurements } from "./measurements.ts";

export function viewOf(parts: ViewedParts): GatewayView {
  const { cache, lookup, registry, policy, activity, rejects, latest, sources } = parts;
  const devices = createDeviceStore(registry, (ids) => lookup.watcher.devices(ids));
  return {
    counted: parts.counted,
    stats: () => statsOf(parts),
    ready: () => readinessOf(parts),
    measurements: () => measurementsOf(parts),
    reasons,
    history: () => parts.watches().history.samples(),
    follow: (device, follower) => parts.watches().follow.follow(device, follower),
    cache: createCacheView(cache, lookup),
    devices,
    heard: createHeardDevices({ devices, activity, rejects, latest, sources, clock: parts.clock }),
    settings: createSettingStore(registry, policy.get, parts.pollSettings),
    rejects,
    latest,
    deadLetters: parts.queues.deadLetters,
    setAside: setAsideAt(parts.drains, parts.clock),
    quarantine: parts.queues.quarantine,
  };
}

function measurementsOf(parts: ViewedParts): Measurements {
  const { drains, ingest, certificates } = parts;
  const counted = [...parts.sources, ...drains.map(({ sink }) => sink)];
  return {
    stats: statsOf(parts),
    ready: readinessOf(parts),
    commit,
    reasons: reasons.map(({ code }) => code),
    counters: new Set(counted.flatMap(({ counters = [] }) => counters)),
    intakeLatency: ingest.latency.stats(),
    sinkLatencies: Object.fromEntries(drains.map(({ sink, latency }) => [sink.name, latency.stats()])),
    certificates: certificates(),
  };
}
