/** /admin/rejects: which devices are being rejected, and why. */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { limitParameter } from "./schemas.ts";
import { rejectRow, type RejectsView } from "../admin/recent-rejects.ts";

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
        limit: limitParameter,
      }),
      answer: {
        help: "Per reason, the devices that were rejected last.",
        schema: z.object({ rejects: z.array(rejectRow).readonly() }),
      },
      handle: ({ query: { reason, tenant, device, limit } }) => ({
        rejects: rejects.list({ reason, tenantId: tenant, deviceId: device, limit }),
      }),
    }),
  ];
}
