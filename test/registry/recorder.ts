/** A watcher that records its notifications. */
import type { RegistryWatcher } from "../../src/core/registry.ts";

export interface Recorder {
  readonly watcher: RegistryWatcher;
  /** Each call in order: "restored", "lost", "settings", "tenant acme", "all", "devices acme/d1 acme/d2". */
  readonly calls: string[];
}

export function recorder(): Recorder {
  const calls: string[] = [];
  const watcher: RegistryWatcher = {
    devices: (ids) => calls.push(`devices ${ids.map((d) => `${d.tenantId}/${d.deviceId}`).join(" ")}`),
    tenant: (tenantId) => calls.push(tenantId === null ? "all" : `tenant ${tenantId}`),
    settings: () => calls.push("settings"),
    lost: () => calls.push("lost"),
    restored: () => calls.push("restored"),
  };
  return { watcher, calls };
}

/** Whether these calls mean that the device may have changed. */
export function tells(calls: readonly string[], tenantId: string, deviceId: string): boolean {
  return calls.some(
    (call) =>
      call === "all" || call === `tenant ${tenantId}` || call.split(" ").includes(`${tenantId}/${deviceId}`),
  );
}
