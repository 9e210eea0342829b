/**
 * A device: what the registry knows of it, what the judge needs of that, and what administration may do with it.
 */
import type { Digest } from "./digest.ts";

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
  /** The same, of a row that is kept, if it is 64 hex digits. */
  readonly digest?: Digest | undefined;
  /** Of a row that is kept: its key, which all share that keep something of the device. */
  readonly key?: string;
  /** A token that was rotated away stays good until this wall-clock ms; null: none. */
  readonly previousTokenHash: string | null;
  readonly previousTokenUntilMs: number | null;
}

/** A device as administration shows it. Never a token, nor its hash. */
export interface Device extends DeviceId {
  readonly siteId: string;
  readonly status: string;
  readonly tokenSet: boolean;
  /** ISO 8601, UTC; null if never. */
  readonly provisionedAt: string | null;
  readonly fwVersion: string | null;
  /** To be written as JSON: whole numbers beyond 2^53 are as `parseToPrint` makes them. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface NewDevice extends DeviceId {
  readonly siteId: string;
  readonly status?: string;
  readonly tokenHash?: string | null;
  /** A token that was rotated away, and until when (ISO 8601) it is good: of a device that moves from another registry. */
  readonly previousTokenHash?: string | null;
  readonly previousTokenUntil?: string;
  readonly fwVersion?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DeviceFilter {
  readonly tenantId?: string | undefined;
  readonly siteId?: string | undefined;
  readonly status?: string | undefined;
  /** Part of a device id. */
  readonly match?: string | undefined;
  readonly limit: number;
  /** Continue after this device, in order of (tenant, device). */
  readonly after?: DeviceId | undefined;
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

/**
 * The devices as administration works on them: a registry, or a running gateway seen through HTTP. Every call rejects if
 * it cannot be done.
 */
export interface DeviceStore {
  list(filter: DeviceFilter): Promise<Device[]>;
  get(id: DeviceId): Promise<Device | undefined>;
  /** false if one of that id exists (which is then left as it is). In the order given. */
  add(devices: readonly NewDevice[]): Promise<boolean[]>;
  /** undefined if there is no such device. */
  update(id: DeviceId, change: DeviceChange): Promise<Device | undefined>;
  remove(id: DeviceId): Promise<boolean>;
}

/** One string a device. Unique because an MQTT level cannot hold "/". */
export function deviceKey(tenantId: string, deviceId: string): string {
  return `${tenantId}/${deviceId}`;
}

/** For `sort`: in the order of their keys. */
export function byKey(a: DeviceId, b: DeviceId): number {
  const [x, y] = [deviceKey(a.tenantId, a.deviceId), deviceKey(b.tenantId, b.deviceId)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** By `deviceKey`; of several with one key the last. */
export function byDevice<D extends DeviceId>(devices: readonly D[]): Map<string, D> {
  return new Map(devices.map((device) => [deviceKey(device.tenantId, device.deviceId), device]));
}
