/**
 * The devices as administration works on them. The registry satisfies it, and so does a running gateway seen through HTTP
 * (cli/gateway-client.ts), so that routes and commands are written once.
 */

export interface DeviceId {
  readonly tenantId: string;
  readonly deviceId: string;
}

/** Never a token, nor its hash. */
export interface Device extends DeviceId {
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
  /** Lower-case hex SHA-256. */
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
  readonly tokenHash?: string;
  readonly graceMs?: number;
}

/** Every call rejects with a RegistryError where the registry does not do it. */
export interface DeviceStore {
  list(filter: DeviceFilter): Promise<Device[]>;
  get(id: DeviceId): Promise<Device | undefined>;
  /** false where one of that id exists (which is then left as it is). In the order given. */
  add(devices: readonly NewDevice[]): Promise<boolean[]>;
  /** undefined where there is no such device. */
  update(id: DeviceId, change: DeviceChange): Promise<Device | undefined>;
  remove(id: DeviceId): Promise<boolean>;
}

/** The registry did not do what it was asked; its own words are the cause, for the log. */
export class RegistryError extends Error {
  /** HTTP's: 422, it answered and will never take this; 503, it could not be asked, and a change may or may not have been made. */
  readonly status: 422 | 503;

  constructor(refused: boolean, cause: unknown) {
    super(
      refused
        ? "The registry refuses this; the log says why."
        : "The registry does not answer; whether a change was made is unknown. Try again when it is back.",
      { cause },
    );
    this.status = refused ? 422 : 503;
  }
}
