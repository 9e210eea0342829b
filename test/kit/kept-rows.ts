/** The rows of an auth cache as its file keeps them over a restart. */
import type { Clock } from "../../src/core/clock.ts";
import type { DeviceAuthCache } from "../../src/registry/auth-cache.ts";
import type { CachedRow } from "../../src/registry/cached.ts";

export function keptRows(cache: DeviceAuthCache, clock: Clock): CachedRow[] {
  const bootWallMs = clock.wallMs() - clock.monoMs();
  return [...cache.snapshot()].map((row) => row.toKeep(bootWallMs));
}
