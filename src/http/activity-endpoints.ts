/**
 * /admin/devices/activity: when and how often each device was heard, what of it was rejected and from where it is connected; the page's
 * list of devices.
 */
import { z } from "zod";
import { columnsOf, deviceColumns, filterOf, filterQuery } from "../admin/device-columns.ts";
import type { HeardDevice, HeardDevices } from "../admin/heard-devices.ts";
import { isoOf } from "../core/text/iso.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { limitParameter } from "./schemas.ts";
import { cursorParameter, cursorText } from "./seen-cursor.ts";

const row = deviceColumns.extend({
  last_seen: z
    .string()
    .nullable()
    .describe(
      "When a message of it was accepted last; ISO 8601, UTC. null: not since the start, and not known of before.",
    ),
  messages: z.number().describe("Accepted since the start."),
  messages_per_minute: z.number().describe("Accepted in the last sixty seconds."),
  rejected: z
    .number()
    .describe("Since the start, if it is among the thousand devices per reason that were rejected last."),
  last_reject: z.string().nullable().describe("The reason of the last reject; see `sluice help reasons`."),
  last_reject_at: z.string().nullable().describe("ISO 8601, UTC."),
  connections: z
    .array(
      z.object({
        remote: z.string().describe("The address that it comes from."),
        since: z.string().describe("ISO 8601, UTC."),
      }),
    )
    .optional()
    .describe(
      "To the embedded broker of this gateway, those over which the device proved itself at CONNECT, the oldest first. Absent: it is off.",
    ),
});

export const activityPage = z.object({
  devices: z.array(row),
  next: z.string().nullable().describe("The `after` of the next page; null: this is the last page."),
  earlier_unknown: z
    .string()
    .nullable()
    .describe("Why it is not known when devices were heard before the start; null: it is known."),
});

export type ActivityPage = z.infer<typeof activityPage>;

export function activityEndpoints(heard: HeardDevices): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/admin/devices/activity",
      id: "devices.activity",
      summary: "When and how often devices were heard and what of them was rejected, the silent first",
      query: z.strictObject({
        ...filterQuery,
        order: z
          .enum(["silent", "name"])
          .default("silent")
          .describe("silent: those first that were not heard since the start, then the longest silent."),
        limit: limitParameter,
        after: cursorParameter.describe("Continue after this device: the `next` of the previous answer."),
      }),
      answer: { help: "A page; a device that speaks meanwhile moves to the end.", schema: activityPage },
      problems: [400, 503],
      async handle({ query, request: { signal } }) {
        const { order, limit, after } = query;
        const page = await heard.list({ filter: filterOf(query), order, limit, after, signal });
        return {
          devices: page.devices.map(shown),
          next: page.next && cursorText(page.next),
          earlier_unknown: page.earlierUnknown,
        };
      },
    }),
  ];
}

function shown({ device, seenMs, messages, perMinute, rejected, ...more }: HeardDevice) {
  const { lastReject, lastRejectMs, connections } = more;
  return {
    ...columnsOf(device),
    last_seen: isoOf(seenMs),
    messages,
    messages_per_minute: perMinute,
    rejected,
    last_reject: lastReject,
    last_reject_at: isoOf(lastRejectMs),
    connections: connections?.map(({ remote, sinceMs }) => ({
      remote,
      since: new Date(sinceMs).toISOString(),
    })),
  };
}
