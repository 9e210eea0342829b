/**
 * /devices: the latest values of devices, for dashboards and services on site. They only read, so READ_TOKEN is
 * enough.
 */
import { toColumns, toFields } from "../core/columns.ts";
import { z } from "zod";
import { deviceIdColumns } from "../admin/device-columns.ts";
import { filterText } from "../admin/filter-text.ts";
import { rawJson } from "../core/text/json-digits.ts";
import { type LatestDevice, latestIdsMax, type LatestParts, LatestUnavailable } from "../core/latest-view.ts";
import type { SeenDevice } from "../core/recent.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import { limitParameter } from "./schemas.ts";
import { cursorParameter, cursorText } from "./seen-cursor.ts";

export const latestPath = "/devices/latest";
/** When a retry may succeed: the first pause of a sink in trouble. */
const retryAfterSeconds = 5;

const ids = { tenant_id: z.string(), device_id: z.string() };
const ages = {
  last_seen: z.string().describe("When it was last heard, by arrival; ISO 8601, UTC."),
  age_ms: z.number().describe("Since then."),
  expires_in_ms: z.number().describe("Until it is forgotten, if it stays silent (REDIS_METADATA_TTL)."),
};

export const latestValue = z.object({
  value: z.unknown().describe("As the device sent it."),
  time: z.string().describe("Of the event, not later than its arrival; ISO 8601, UTC."),
  age_ms: z.number(),
});
export const latestDevice = z.object({
  ...ids,
  ...ages,
  metadata: z
    .record(z.string(), z.string())
    .describe("As the keys in Redis have it: last_updated, datatype_id, site_id, msg_type, event_ms …"),
  values: z.record(z.string(), latestValue).describe("Metric → its newest value."),
});
const latestList = z.object({
  devices: z.array(latestDevice.nullable()).describe("In the order asked for; null: nothing is known of it."),
});
export const seenList = z.object({
  devices: z.array(z.object({ ...ids, ...ages })).describe("The last heard first."),
  cursor: z
    .string()
    .nullable()
    .describe(
      "For the next page, which there may be although this one is not full; null: this was the last.",
    ),
});

type Latest = z.infer<typeof latestDevice>;

export function latestEndpoints({ view, ttlMs, nowMs }: LatestParts): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/devices/{tenant}/{device}/latest",
      id: "latest.show",
      access: "read",
      summary: "The latest values of one device, each with its time",
      answer: { help: "What is known of it.", schema: latestDevice },
      problems: [400, 401, 404, 429, 503],
      handle: ({ params: { tenant = "", device = "" } }) =>
        orUnavailable(async () => {
          const [found] = await view.get([{ tenantId: tenant, deviceId: device }]);
          if (!found)
            return problem(404, `Nothing is known of ${tenant}/${device}, or it has long been silent.`);
          return shown(found, nowMs());
        }),
    }),
    endpoint({
      method: "POST",
      path: latestPath,
      id: "latest.list",
      access: "read",
      summary: `The latest values of up to ${latestIdsMax} devices`,
      body: z.strictObject({ devices: z.array(deviceIdColumns).min(1).max(latestIdsMax) }),
      answer: { help: "Of each device what is known of it.", schema: latestList },
      problems: [401, 429, 503],
      handle: ({ body: { devices } }) =>
        orUnavailable(async () => {
          const wanted = devices.map((id) => toFields(id));
          const now = nowMs();
          return { devices: (await view.get(wanted)).map((found) => found && shown(found, now)) };
        }),
    }),
    endpoint({
      method: "GET",
      path: "/devices",
      id: "latest.seen",
      access: "read",
      summary: "Devices by when they were last heard",
      query: z.strictObject({
        tenant: filterText.optional().describe("Only this tenant's."),
        seen_since: z.iso
          .datetime({ offset: true })
          .optional()
          .describe("Only those heard since then; ISO 8601."),
        cursor: cursorParameter.describe("Of the page before."),
        limit: limitParameter,
      }),
      answer: { help: "A page; a device that speaks meanwhile moves to the front.", schema: seenList },
      problems: [400, 401, 429, 503],
      handle: ({ query: { tenant, seen_since: since, cursor, limit } }) =>
        orUnavailable(async () => {
          const sinceMs = since === undefined ? 0 : Date.parse(since);
          const page = await view.seen({ tenantId: tenant, sinceMs, after: cursor, limit });
          const now = nowMs();
          return {
            devices: page.devices.map((device) => seen(device, device.seenMs + ttlMs, now)),
            cursor: page.next && cursorText(page.next),
          };
        }),
    }),
  ];
}

/** "Not known" is an answer of its own, never an empty one. */
async function orUnavailable<T>(work: () => Promise<T>): Promise<T | Response> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LatestUnavailable)) throw error;
    return problem(503, `The latest values cannot be told now: ${error.message}.`, {
      headers: { "retry-after": String(retryAfterSeconds) },
    });
  }
}

function seen({ tenantId, deviceId, seenMs }: SeenDevice, expiresMs: number, nowMs: number) {
  return {
    ...toColumns({ tenantId, deviceId }),
    last_seen: new Date(seenMs).toISOString(),
    age_ms: Math.max(0, nowMs - seenMs),
    expires_in_ms: Math.max(0, expiresMs - nowMs),
  };
}

function shown(device: LatestDevice, nowMs: number): Latest {
  const values = device.values.map(({ metric, json, timeMs }) => {
    // A number with more digits than JavaScript keeps is passed on as it is.
    const value: unknown = /^-?\d/.test(json) ? rawJson(json) : JSON.parse(json);
    const time = new Date(timeMs).toISOString();
    return [metric, { value, time, age_ms: Math.max(0, nowMs - timeMs) }] as const;
  });
  return {
    ...seen(device, device.expiresMs, nowMs),
    metadata: device.metadata,
    values: Object.fromEntries(values),
  };
}
