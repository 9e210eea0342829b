/**
 * The registry: which devices may speak. One interface, two stores (PostgreSQL, local SQLite), one contract suite.
 *
 * Only the cache in front of it (cache.ts, lookup.ts) is on a message's way; everything here may take its time and may fail.
 */

export interface DeviceId {
  readonly tenantId: string;
  readonly deviceId: string;
}

/** What the judge needs to know of a device. */
export interface DeviceAuth extends DeviceId {
  readonly siteId: string;
  /** ACTIVE may speak; anything else may not. */
  readonly status: string;
  /** Lower-case hex SHA-256 of the token; null: none set. */
  readonly tokenHash: string | null;
  /** A token that was rotated away stays good until this wall-clock ms; null: none. */
  readonly previousTokenHash: string | null;
  readonly previousTokenUntilMs: number | null;
}

/** A device as administration shows it. Never a token, nor its hash. */
export interface DeviceRecord extends DeviceId {
  readonly siteId: string;
  readonly status: string;
  readonly tokenSet: boolean;
  /** ISO 8601, UTC; null if never. */
  readonly provisionedAt: string | null;
  readonly fwVersion: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface NewDevice extends DeviceId {
  readonly siteId: string;
  readonly status?: string;
  readonly tokenHash?: string | null;
  readonly fwVersion?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DeviceFilter {
  readonly tenantId?: string;
  readonly siteId?: string;
  readonly status?: string;
  /** Part of a device id. */
  readonly match?: string;
  readonly limit: number;
  /** Continue after this device, in order of (tenant, device). */
  readonly after?: DeviceId;
}

/** Fields to change; an absent one stays. */
export interface DeviceChange {
  readonly siteId?: string;
  readonly status?: string;
  readonly fwVersion?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** A new token's hash. With `graceMs` the old one stays good that long. */
  readonly tokenHash?: string;
  readonly graceMs?: number;
}

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
  /** The watch was lost: changes may be missed from now on. */
  lost(): void;
  /** The watch stands (again): every change from now on is told. Called at first success too. */
  restored(): void;
}

export interface Registry extends DeviceLookup {
  /** Tells every change, made by whatever process, within a second, until the returned function is called. Re-establishes itself for ever. */
  watch(watcher: RegistryWatcher): () => Promise<void>;
  /** All rows of app_settings. */
  settings(): Promise<Record<string, string>>;
  setSetting(key: string, value: string): Promise<void>;
  list(filter: DeviceFilter): Promise<DeviceRecord[]>;
  get(id: DeviceId): Promise<DeviceRecord | undefined>;
  /** Registers devices; false where one of that id exists (which is then left as it is). In the order given. */
  add(devices: readonly NewDevice[]): Promise<boolean[]>;
  /** undefined where there is no such device. */
  update(id: DeviceId, change: DeviceChange): Promise<DeviceRecord | undefined>;
  remove(id: DeviceId): Promise<boolean>;
  close(): Promise<void>;
}

/** One string a device. Unique because an MQTT level cannot hold "/". */
export function deviceKey(tenantId: string, deviceId: string): string {
  return `${tenantId}/${deviceId}`;
}
