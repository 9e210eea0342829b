/**
 * A look-up over a fake registry, because timing is tested: when it is queried, for whom, and what happens if it does
 * not answer.
 */
import { silentLog } from "../../src/core/log/log.ts";
import { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import type { Answer } from "../../src/registry/flights.ts";
import { createLookup } from "../../src/registry/lookup.ts";
import type { SharedCache } from "../../src/core/shared-cache.ts";
import { deviceKey, type DeviceAuth, type DeviceId } from "../../src/core/device.ts";
import { aDevice } from "../kit/builders.ts";
import { simulatedClock } from "../kit/clock.ts";

type Mood = "answers" | "refuses" | "hangs";

export function setting(
  options: {
    autoProvision?: boolean;
    answersAfterMs?: number;
    sizeMax?: number;
    shared?: SharedCache;
  } = {},
) {
  const clock = simulatedClock();
  const cache = new DeviceAuthCache(
    { ttlSeconds: 60, sizeMax: options.sizeMax ?? 10_000, staleSeconds: 86_400 },
    clock,
  );
  const devices = new Map<string, DeviceAuth>();
  const queries: DeviceId[][] = [];
  const provisioned: string[] = [];
  const events: string[] = [];
  const it = { mood: "answers" as Mood, answersAfterMs: options.answersAfterMs ?? 5 };

  function find(ids: readonly DeviceId[]): Promise<DeviceAuth[]> {
    queries.push([...ids]);
    // The answer is made at once and arrives later, as with a real database.
    const rows = ids.flatMap((id) => devices.get(deviceKey(id.tenantId, id.deviceId)) ?? []);
    if (it.mood === "refuses") return Promise.reject(new Error("connection refused"));
    if (it.mood === "hangs") return new Promise(() => {});
    return new Promise((resolve) => clock.after(it.answersAfterMs, () => resolve(rows)));
  }

  const lookup = createLookup({
    registry: {
      find,
      provision(list) {
        for (const { deviceId, siteId } of list) provisioned.push(`${deviceId} at ${siteId}`);
        return new Promise((resolve) =>
          clock.after(it.answersAfterMs, () => {
            for (const { tenantId, deviceId, siteId } of list) {
              const device = aDevice({ tenantId, deviceId, siteId, tokenHash: null });
              devices.set(deviceKey(tenantId, deviceId), device);
            }
            resolve();
          }),
        );
      },
    },
    cache,
    shared: options.shared,
    clock,
    settings: { registryWaitMs: 5000, autoProvision: options.autoProvision ?? false },
    log: silentLog,
    random: () => 1,
    onSettings: () => events.push("settings"),
  });

  lookup.onAvailable(() => events.push("available"));

  const register = (deviceId: string) => devices.set(deviceKey("acme", deviceId), aDevice({ deviceId }));
  const answers = new Map<string, string[]>();
  const ask = (deviceId: string) => {
    const list = answers.get(deviceId) ?? [];
    answers.set(deviceId, list);
    lookup.resolve("acme", deviceId, "lab-1", (answer) => list.push(nameOf(answer)));
    return list;
  };
  return { ...{ clock, cache, devices, queries, provisioned, events, lookup, register, ask }, fake: it };
}

export function nameOf(answer: Answer): string {
  if (answer === null) return "unknown";
  return answer === "unavailable" ? answer : answer.status;
}
