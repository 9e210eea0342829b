/** /admin/cache: inspect the auth cache, clear it, or forget one device, several, or all of a tenant. */
import { z } from "zod";
import { toFields } from "../core/columns.ts";
import { deviceIdColumns } from "../admin/device-columns.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { cacheStats } from "../admin/cache-stats.ts";
import type { CacheView } from "../admin/views.ts";

export const invalidatePath = "/admin/cache/invalidate";
const listMax = 1_000;

const band = z.enum(["good", "warning", "critical"]);
type Band = z.infer<typeof band>;

/**
 * Per value: the share above (hit rate) or below (size, errors) which it is good, then the share at which it is
 * critical.
 */
const bands = { hitRate: [0.9, 0.7], size: [0.8, 0.95], errors: [0.01, 0.1] } as const;
/**
 * The hit rate is judged from this many look-ups on, and from ten look-ups per cached device: the first look-up of
 * each device must miss.
 */
const lookupsMin = 100;
const lookupsPerDeviceMin = 10;

const statsWithBands = cacheStats.extend({
  ttl: z.number().describe("The same as ttl_seconds, under the name that older dashboards use."),
  bands: z.object({
    hit_rate: band
      .nullable()
      .describe(
        "Good above 90 %, critical below 70 %; null: not known yet, because most look-ups were the first of their device.",
      ),
    size: band.describe("Share of max_size in use: good below 80 %, critical from 95 %."),
    errors: band
      .nullable()
      .describe(
        "Share of registry queries that were not answered: good below 1 %, critical from 10 %; null before the first query.",
      ),
  }),
});
const forgotten = z.object({
  status: z.string(),
  forgotten: z.number().describe("How many rows were removed from the cache."),
});

export function cacheEndpoints(cache: CacheView): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/admin/cache/stats",
      id: "cache.stats",
      summary: "How well the auth cache works",
      answer: { help: "Counts since the start, and how good they are.", schema: statsWithBands },
      handle: () => ({ ...cache.stats(), ttl: cache.stats().ttl_seconds, bands: bandsOf(cache) }),
    }),
    endpoint({
      method: "POST",
      path: "/admin/cache/clear",
      id: "cache.clear",
      summary: "Forget all devices; each is looked up again with its next message",
      answer: { help: "Done.", schema: z.strictObject({ status: z.literal("cache cleared") }) },
      handle({ note }) {
        note({ forgotten: cache.clear() });
        return { status: "cache cleared" as const };
      },
    }),
    endpoint({
      method: "POST",
      path: invalidatePath,
      id: "cache.invalidate",
      summary: `Forget up to ${listMax} devices`,
      body: z.strictObject({ devices: z.array(deviceIdColumns).min(1).max(listMax) }),
      answer: { help: "Done.", schema: forgotten },
      handle({ body: { devices }, note }) {
        note({ devices: devices.length });
        const ids = devices.map((id) => toFields(id));
        return { status: "devices forgotten", forgotten: cache.forget(ids) };
      },
    }),
    endpoint({
      method: "DELETE",
      path: "/admin/cache/devices/{tenant}/{device}",
      id: "cache.forget_device",
      summary: "Forget one device",
      answer: { help: "Done.", schema: z.object({ status: z.string(), cached: z.boolean() }) },
      handle({ params: { tenant = "", device = "" } }) {
        const count = cache.forget([{ tenantId: tenant, deviceId: device }]);
        return { status: "device forgotten", cached: count > 0 };
      },
    }),
    endpoint({
      method: "DELETE",
      path: "/admin/cache/tenants/{tenant}",
      id: "cache.forget_tenant",
      summary: "Forget a tenant's devices",
      answer: { help: "Done.", schema: forgotten },
      handle: ({ params: { tenant = "" } }) => ({
        status: "tenant forgotten",
        forgotten: cache.forgetTenant(tenant),
      }),
    }),
  ];
}

function bandsOf(cache: CacheView): z.infer<typeof statsWithBands>["bands"] {
  const { hit_rate: hitRate, hits, misses, size, max_size: sizeMax, errors } = cache.stats();
  const [good, critical] = bands.hitRate;
  const isEarly = hits + misses < Math.max(lookupsMin, size * lookupsPerDeviceMin);
  const queries = cache.queries();
  return {
    hit_rate:
      hitRate === null || isEarly
        ? null
        : hitRate > good
          ? "good"
          : hitRate < critical
            ? "critical"
            : "warning",
    size: below(size / sizeMax, bands.size),
    errors: queries === 0 ? null : below(errors / queries, bands.errors),
  };
}

function below(share: number, [good, critical]: readonly [number, number]): Band {
  return share < good ? "good" : share < critical ? "warning" : "critical";
}
