/**
 * Rows of the registry that gateways share, between a gateway's own cache and the registry: at a start of several gateways the
 * registry is asked once per device and not once per gateway. No call rejects or takes long: what does not answer is a miss.
 */
import type { DeviceAuth, DeviceId } from "./device.ts";

export interface SharedCache {
  /** What is held of these devices. For the others the caller asks the registry, and hands on what it says. */
  find(ids: readonly DeviceId[]): Promise<SharedRows>;
  /** These devices changed: nobody is to read an earlier row any more, and the other gateways are told, as soon as may be. */
  forget(ids: readonly DeviceId[]): void;
  /** The same of all devices of a tenant, or of all (null). */
  forgetTenant(tenantId: string | null): void;
  /** What other gateways tell from now on; and what this one told, once that was done. */
  listen(heard: SharedNews): void;
  stats(): Readonly<Record<string, number | boolean | string | null>>;
  close(): void;
}

export interface SharedRows {
  readonly rows: readonly DeviceAuth[];
  /** What the registry said of those that were asked for and not among `rows`; who is absent is not registered. */
  learn(rows: readonly DeviceAuth[]): void;
}

export interface SharedNews {
  devices(ids: readonly DeviceId[]): void;
  tenant(tenantId: string | null): void;
  /** Something may have been missed. */
  gap(): void;
}
