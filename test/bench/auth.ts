/**
 * The cost of a check against the auth cache and of judging a message, by the number of devices cached, and the bytes
 * per device. Devices are checked in a scattered order, as a fleet sends; the names are made beforehand, as a source
 * makes them from its packets.
 */
import { heapStats } from "bun:jsc";
import { systemClock } from "../../src/core/clock.ts";
import type { Message } from "../../src/core/message.ts";
import { isPending } from "../../src/judge/contract.ts";
import { createJudge } from "../../src/judge/judge.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import { aBody, aDevice, aMessage, aPolicy, aToken, sha256 } from "../kit/builders.ts";

const sizes = [100, 1_000, 10_000, 100_000, 1_000_000];
const checks = 500_000;
const judgements = 200_000;
/** Prime, so that steps of it visit every device. */
const stride = 7_919;

export function run(): Promise<void> {
  const table = sizes.map(measure);
  console.log(Bun.inspect.table(table));
  return Promise.resolve();
}

function measure(devices: number): Record<string, number> {
  const before = heapBytes();
  const cache = filled(devices);
  const bytes = (heapBytes() - before) / devices;
  const ids = scattered(Math.min(devices, 20_000), devices);
  return {
    devices,
    "ns a cached check": Math.round(timed(checks, (at) => cache.get("acme", ids[at % ids.length] ?? ""))),
    "ns a message judged": Math.round(judged(cache, ids)),
    "bytes a device": Math.round(bytes),
  };
}

function filled(devices: number): DeviceAuthCache {
  const cache = new DeviceAuthCache({ ttlSeconds: 3600, sizeMax: devices, staleSeconds: 0 }, systemClock);
  const hash = sha256(aToken);
  // Each row has strings of its own, as rows of a database have.
  for (let at = 0; at < devices; at++)
    cache.put(aDevice({ deviceId: nameOf(at), tokenHash: own(hash), siteId: own("lab-1") }));
  return cache;
}

function judged(cache: DeviceAuthCache, ids: readonly string[]): number {
  const judge = createJudge({
    policy: () => policy,
    auth: cache,
    requireToken: true,
    backlogBytesMax: 1e9,
    clock: systemClock,
  });
  const messages = ids.map(telemetryOf);
  return timed(judgements, (at) => {
    const message = messages[at % messages.length];
    const outcome = message && judge.judge(message);
    if (!outcome || isPending(outcome) || outcome.kind !== "event")
      throw new Error(`not an event: ${JSON.stringify(outcome)}`);
  });
}

const policy = aPolicy({ rateLimitRps: 1e6, rateLimitBurst: 1e6 });

function telemetryOf(deviceId: string): Message {
  return aMessage(aBody({ device_id: deviceId }), {
    topic: `tenant/acme/device/${deviceId}/telemetry`,
    receivedMs: Date.now(),
  });
}

/** Nanoseconds per run, after a warm-up. */
function timed(runs: number, work: (at: number) => void): number {
  for (let at = 0; at < runs / 5; at++) work(at);
  const startMs = performance.now();
  for (let at = 0; at < runs; at++) work(at);
  return ((performance.now() - startMs) / runs) * 1e6;
}

function scattered(count: number, devices: number): string[] {
  return Array.from({ length: count }, (_, at) => own(nameOf((at * stride) % devices)));
}

function nameOf(at: number): string {
  return `dev-${String(at).padStart(7, "0")}`;
}

/** A copy that shares no memory with `text`. */
function own(text: string): string {
  return Buffer.from(text).toString();
}

function heapBytes(): number {
  Bun.gc(true);
  const { heapSize, extraMemorySize } = heapStats();
  return heapSize + extraMemorySize;
}
