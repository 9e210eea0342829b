/** The settings of the auth cache that gateways share; they stand with those of the gateway's own. */
import { z } from "zod";
import { flag, optionalString, type Values } from "../core/settings.ts";
import { isRedisNamed, type RedisValues } from "./redis-settings.ts";

export const sharedAuthSettings = {
  isShared: flag({
    name: "AUTH_CACHE_REDIS",
    default: false,
    help: "1: gateways with one PostgreSQL share what they read of its registry through Redis (REDIS_URL), and tell each other of changes.",
  }),
  sharedKey: optionalString({
    name: "AUTH_CACHE_REDIS_KEY",
    secret: true,
    help: "Signs what is shared, so that nobody else who can write to Redis admits devices; the same on every gateway.",
    check: z.string().min(16, "at least 16 characters"),
  }),
};

export interface SharedAuthConfig {
  readonly cache: Values<typeof sharedAuthSettings> & { readonly ttlSeconds: number };
  readonly redis: RedisValues;
  readonly postgres: { readonly url: string | undefined };
}

/** What is wrong with these settings in combination; for config/index.ts. */
export function sharedAuthMistakes({ cache, redis, postgres }: SharedAuthConfig): string[] {
  if (!cache.isShared) return [];
  return [
    ...(isRedisNamed(redis) ? [] : ["AUTH_CACHE_REDIS=1 needs a Redis: set REDIS_URL"]),
    ...(cache.sharedKey === undefined
      ? [
          "AUTH_CACHE_REDIS=1 needs AUTH_CACHE_REDIS_KEY_FILE: a file with the same secret on every gateway, such as `openssl rand -hex 32` prints",
        ]
      : []),
    ...(postgres.url === undefined
      ? ["AUTH_CACHE_REDIS=1 needs DATABASE_URL: gateways with a local store have no registry in common"]
      : []),
    ...(cache.ttlSeconds === 0 ? ["AUTH_CACHE_REDIS=1 needs AUTH_CACHE_TTL_SECONDS above 0"] : []),
  ];
}
