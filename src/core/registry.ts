/**
 * The registry: which devices may speak. One interface, two stores (PostgreSQL, local SQLite), one contract suite.
 *
 * Only the cache in front of it (auth-cache.ts, lookup.ts) is on a message's way; everything here may take its time and may fail.
 */
import type { DeviceAuth, DeviceId, DeviceStore } from "./device.ts";

/** The half of a registry that a message's way needs. */
export interface DeviceLookup {
  /** One query for all of `ids`; devices that are not registered are absent from the answer. Rejects when it cannot be asked. */
  find(ids: readonly DeviceId[]): Promise<DeviceAuth[]>;
  /** AUTO_PROVISION: registers devices without a token; those that exist are left alone. */
  provision(devices: readonly { tenantId: string; deviceId: string; siteId: string }[]): Promise<void>;
}

/** What a watched registry tells the cache. */
export interface RegistryWatcher {
  /** These devices changed (or came, or went). */
  devices(ids: readonly DeviceId[]): void;
  /** Any device of the tenant, or of all tenants (null), may have changed. */
  tenant(tenantId: string | null): void;
  /** app_settings changed. */
  settings(): void;
  /** The watch does not stand (any more): changes may be missed from now on. May be called again and again. */
  lost(): void;
  /** Changes are not told, and why; said again when the reason changes. */
  unheard?(why: string): void;
  /** The watch stands (again): every change from now on is told. Called at first success too. */
  restored(): void;
}

export interface Registry extends DeviceLookup, DeviceStore {
  /** Tells every change, made by whatever process, within a second, until the returned function is called. Re-establishes itself for ever. */
  watch(watcher: RegistryWatcher): () => Promise<void>;
  /** All rows of app_settings. */
  settings(): Promise<Record<string, string>>;
  setSetting(key: string, value: string): Promise<void>;
}
