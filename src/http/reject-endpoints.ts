/** /admin/rejects: which devices are being rejected, and why. */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import type { RejectsView } from "../admin/views.ts";

/** As GET /admin/rejects has them. */
export const rejectRows = z.array(
  z.object({
    reason: z.string().describe("See `sluice help reasons`."),
    accepted: z.boolean().describe("true: stored, but without metrics, so InfluxDB gets no reading from it."),
    tenant_id: z.string().nullable(),
    device_id: z.string().nullable().describe("null: the topic named no device."),
    count: z.number(),
    first_at: z.string(),
    last_at: z.string(),
    topic: z
      .string()
      .nullable()
      .describe("The topic of the last one, shortened, for BAD_TOPIC_FORMAT and MAPPING_MISFIT; else null."),
    detail: z.string().nullable().describe("What exactly was wrong with the last one."),
  }),
);

export function rejectEndpoints(rejects: RejectsView): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/admin/rejects",
      id: "rejects.list",
      summary: "Rejects since this gateway started, by reason and device, latest first",
      query: z.strictObject({
        reason: z.string().optional(),
        tenant: z.string().optional(),
        device: z.string().optional(),
        limit: z.coerce.number().int().min(1).max(1_000).default(100),
      }),
      answer: {
        help: "Per reason, the devices that were rejected last.",
        schema: z.object({ rejects: rejectRows.readonly() }),
      },
      handle: ({ query: { reason, tenant, device, limit } }) => ({
        rejects: rejects.list({
          ...(reason !== undefined && { reason }),
          ...(tenant !== undefined && { tenantId: tenant }),
          ...(device !== undefined && { deviceId: device }),
          limit,
        }),
      }),
    }),
  ];
}
