/** A row of the auth cache: a class, so that the hash of its token is kept as numbers alone and is text again for who asks. */
import type { Found } from "../core/address.ts";
import type { DeviceAuth } from "../core/device.ts";
import { Digest } from "../core/digest.ts";

/** A row as it is kept over a restart. */
export interface CachedRow extends Omit<DeviceAuth, "digest" | "key"> {
  readonly key: string;
  readonly cachedWallMs: number;
}

/** Long ago. */
export const never = Number.NEGATIVE_INFINITY;

export class Cached implements DeviceAuth, Found {
  home: Found["home"];
  readonly key: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly siteId: string;
  readonly status: string;
  readonly digest: Digest | undefined;
  /** What is in place of a hash, if it is none. */
  readonly #noHash: string | null;
  readonly previousTokenHash: string | null;
  readonly previousTokenUntilMs: number | null;
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
    this.#noHash = this.digest === undefined ? row.tokenHash : null;
    this.previousTokenHash = row.previousTokenHash;
    this.previousTokenUntilMs = row.previousTokenUntilMs;
    this.cachedMs = cachedMs;
    this.generation = generation;
    this.rereadMs = never;
  }

  get tokenHash(): string | null {
    return this.digest?.hex() ?? this.#noHash;
  }

  /** @param bootWallMs the wall clock less the monotonic one */
  toKeep(bootWallMs: number): CachedRow {
    const { key, tenantId, deviceId, siteId, status, tokenHash, previousTokenHash, previousTokenUntilMs } =
      this;
    return {
      tenantId,
      deviceId,
      siteId,
      status,
      tokenHash,
      previousTokenHash,
      previousTokenUntilMs,
      cachedWallMs: Math.round(bootWallMs + this.cachedMs),
      key,
    };
  }
}
