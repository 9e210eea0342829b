/**
 * The registry: which devices may speak. One interface, two stores (PostgreSQL, local SQLite), one contract suite.
 *
 * Only the cache in front of it (auth-cache.ts, lookup.ts) is on a message's way; everything here may take its time and may fail.
 */
import { byDevice, type DeviceAuth, type DeviceId, type DeviceStore, type NewDevice } from "./device.ts";

/** The half of a registry that a message's way needs. */
export interface DeviceLookup {
  /** One query for all of `ids`; devices that are not registered are absent from the answer. Rejects when it cannot be asked. */
  find(ids: readonly DeviceId[]): Promise<DeviceAuth[]>;
  /** AUTO_PROVISION: registers devices without a token; those that exist are left alone. */
  provision(devices: readonly NewDevice[]): Promise<void>;
}

/**
 * Finds each device once, however often it is among `ids`. What these hold besides is not passed on: a registry logs the ids that it cannot
 * look up, and an entry is one. @returns by `deviceKey`; who is absent is not registered
 */
export async function findByDevice(
  registry: Pick<DeviceLookup, "find">,
  ids: readonly DeviceId[],
): Promise<ReadonlyMap<string, DeviceAuth>> {
  const plain = ids.map(({ tenantId, deviceId }) => ({ tenantId, deviceId }));
  return byDevice(await registry.find([...byDevice(plain).values()]));
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

/** A device that has one of the tokens asked for. */
export interface TokenOwner extends DeviceId {
  /** As it was asked for. */
  readonly tokenHash: string;
}

/** Whose tokens are these? For devices that show a token alone. */
export interface TokenLookup {
  /**
   * One query for all of `tokenHashes` (lower-case hex SHA-256). A token that was rotated away is its device's for as long as it
   * is good; of a token that several devices have, all are in the answer. Rejects when it cannot be asked.
   */
  owners(tokenHashes: readonly string[]): Promise<TokenOwner[]>;
}

export interface Registry extends DeviceLookup, TokenLookup, DeviceStore {
  /** Tells every change, made by whatever process, within a second, until the returned function is called. Re-establishes itself for ever. */
  watch(watcher: RegistryWatcher): () => Promise<void>;
  /** All rows of app_settings. */
  settings(): Promise<Record<string, string>>;
  setSetting(key: string, value: string): Promise<void>;
}
