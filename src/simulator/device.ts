/**
 * The devices of a fleet: who they are, and what a registry must know about them.
 *
 * Everything about a device is derived from the seed and its own name, so that it stays the same when the fleet
 * grows, and its token need not be stored: whoever knows the seed can register the fleet anywhere.
 */
import { hashOf, tokenFrom } from "../core/token.ts";
import type { FaultShares } from "./fault.ts";

export interface FleetOptions {
  readonly seed: number;
  /**
   * Devices that may send. For every twenty of them the fleet has one more that is revoked and one whose token is not
   * set.
   */
  readonly devices: number;
  /** Devices are assigned to these in turn. */
  readonly tenants: readonly [string, ...string[]];
  readonly faults: FaultShares;
}

export interface FleetDevice {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly siteId: string;
  readonly status: "ACTIVE" | "REVOKED";
  readonly token: string;
  /** Lower-case hex SHA-256 of the token as the registry holds it; null for the device whose token is not set there. */
  readonly tokenHash: string | null;
}

/**
 * How many devices are revoked, and how many have no token; at least one per tenant. They stand behind the others.
 */
export function specialCount({ devices, tenants }: FleetOptions): number {
  return Math.max(tenants.length, Math.ceil(devices / 20));
}

export function makeDevices(options: FleetOptions): FleetDevice[] {
  const { seed, tenants } = options;
  const make = (
    prefix: string,
    count: number,
    status: FleetDevice["status"],
    tokenSet = true,
  ): FleetDevice[] =>
    Array.from({ length: count }, (_, i) => {
      const tenantId = tenants[i % tenants.length] ?? tenants[0];
      const number = Math.floor(i / tenants.length) + 1;
      const deviceId = `${prefix}-${String(number).padStart(4, "0")}`;
      const token = tokenOf(seed, tenantId, deviceId);
      const tokenHash = tokenSet ? hashOf(token) : null;
      return { tenantId, deviceId, siteId: `lab-${1 + (number % 3)}`, status, token, tokenHash };
    });
  const special = specialCount(options);
  return [
    ...make("dev", options.devices, "ACTIVE"),
    ...make("dev-revoked", special, "REVOKED"),
    ...make("dev-tokenless", special, "ACTIVE", false),
  ];
}

function tokenOf(seed: number, tenantId: string, deviceId: string): string {
  const text = `sluice simulator/${seed}/${tenantId}/${deviceId}`;
  return tokenFrom(new Bun.CryptoHasher("sha256").update(text).digest());
}
