/** A row of the auth cache: a class, so that the hash of its token is kept as numbers alone and is text again for who asks. */
import type { Found } from "../core/address.ts";
import type { DeviceAuth } from "../core/device.ts";
import { Digest } from "../core/digest.ts";

/** A row as it is kept over a restart. */
export interface CachedRow extends Omit<DeviceAuth, "digest" | "key"> {
  readonly cachedWallMs: number;
}

/** Long ago. */
export const never = Number.NEGATIVE_INFINITY;

interface Rare extends Pick<DeviceAuth, "previousTokenHash" | "previousTokenUntilMs"> {
  /** What is in place of a hash, if it is none. */
  readonly noHash: string | null;
}

function rareOf(
  { tokenHash, previousTokenHash, previousTokenUntilMs }: DeviceAuth,
  hasDigest: boolean,
): Rare | null {
  const noHash = hasDigest ? null : tokenHash;
  if (noHash === null && previousTokenHash === null && previousTokenUntilMs === null) return null;
  return { noHash, previousTokenHash, previousTokenUntilMs };
}

/** Of twelve fields: with one more the engine gives it 48 bytes more. */
export class Cached implements DeviceAuth, Found {
  home: Found["home"];
  readonly key: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly siteId: string;
  readonly status: string;
  readonly digest: Digest | undefined;
  /** What few devices have; null: none of it. */
  readonly #rare: Rare | null;
  /** Monotonic; when it was read. */
  readonly cachedMs: number;
  /** The generation in which it was read. */
  readonly generation: number;
  /** Monotonic; when it was last read again because it led to a reject. */
  rereadMs: number;
  /** The registry said, since it was read, that its token is nobody else's. */
  isSole = false;

  constructor(
    key: string,
    row: DeviceAuth,
    intern: (text: string) => string,
    cachedMs: number,
    generation: number,
  ) {
    this.key = key;
    this.tenantId = intern(row.tenantId);
    this.deviceId = row.deviceId;
    this.siteId = intern(row.siteId);
    this.status = intern(row.status);
    this.digest = Digest.read(row.tokenHash ?? "");
    this.#rare = rareOf(row, this.digest !== undefined);
    this.cachedMs = cachedMs;
    this.generation = generation;
    this.rereadMs = never;
  }

  get tokenHash(): string | null {
    return this.digest?.hex() ?? this.#rare?.noHash ?? null;
  }

  get previousTokenHash(): string | null {
    return this.#rare?.previousTokenHash ?? null;
  }

  get previousTokenUntilMs(): number | null {
    return this.#rare?.previousTokenUntilMs ?? null;
  }

  /** @param bootWallMs the wall clock less the monotonic one */
  toKeep(bootWallMs: number): CachedRow {
    const { tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs } = this;
    return {
      tenantId,
      deviceId,
      siteId,
      status,
      tokenHash,
      previousTokenHash,
      previousTokenUntilMs,
      cachedWallMs: Math.round(bootWallMs + this.cachedMs),
    };
  }
}
