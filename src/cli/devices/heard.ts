/**
 * When devices were last heard and what of theirs was rejected, for `devices list` and `show` with --gateway: a running gateway knows it,
 * the registry does not.
 */
import { z } from "zod";
import { deviceKey, type DeviceId } from "../../core/device.ts";
import { explain } from "../../core/log.ts";
import { seenList } from "../../http/latest-endpoints.ts";
import { rejectRows } from "../../http/reject-endpoints.ts";
import type { Context } from "../command.ts";
import type { GatewayClient } from "../gateway-client.ts";

/** null: not heard, or nothing rejected, since the gateway started or as far back as it looks. */
export interface HeardColumns {
  readonly last_seen: string | null;
  readonly rejected: number;
  readonly last_reject: string | null;
}

export type Heard = (device: DeviceId) => HeardColumns;

/** In one question each; more devices than this are not shown when they were heard. */
const rowsMax = 1_000;

/** undefined: without a gateway, or it cannot tell now, which is said. */
export async function heardOf(
  context: Context,
  client: GatewayClient | undefined,
): Promise<Heard | undefined> {
  if (client === undefined) return undefined;
  try {
    const { devices } = seenList.parse(await client.request("GET", `/devices?limit=${rowsMax}`));
    const answer = await client.request("GET", `/admin/rejects?limit=${rowsMax}`);
    const rejects = z
      .object({ rejects: rejectRows })
      .parse(answer)
      .rejects.filter(({ accepted }) => !accepted);
    const seen = new Map(devices.map((row) => [deviceKey(row.tenant_id, row.device_id), row.last_seen]));
    const rejected = Map.groupBy(rejects, (row) => deviceKey(row.tenant_id ?? "", row.device_id ?? ""));
    return ({ tenantId, deviceId }) => {
      const key = deviceKey(tenantId, deviceId);
      const rows = rejected.get(key) ?? [];
      return {
        last_seen: seen.get(key) ?? null,
        rejected: rows.reduce((sum, { count }) => sum + count, 0),
        last_reject: rows[0]?.reason ?? null,
      };
    };
  } catch (error) {
    context.stderr(`when devices were heard is not known: ${explain(error)}\n`);
    return undefined;
  }
}
