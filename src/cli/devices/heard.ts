/**
 * When and how often devices were heard and what of theirs was rejected, for `devices list` and `show` with --gateway: a running gateway
 * knows it, the registry does not.
 */
import { pageMax } from "../../admin/device-columns.ts";
import { deviceKey, type DeviceId } from "../../core/device.ts";
import { explain } from "../../core/log.ts";
import { activityPage } from "../../http/activity-endpoints.ts";
import type { Context } from "../command.ts";
import type { GatewayClient } from "../gateway-client.ts";

/** null: not heard, or nothing rejected, since the gateway started or as far back as it looks. */
export interface HeardColumns {
  readonly last_seen: string | null;
  readonly messages: number;
  readonly rejected: number;
  readonly last_reject: string | null;
}

export type Heard = (device: DeviceId) => HeardColumns;

const nothing: HeardColumns = { last_seen: null, messages: 0, rejected: 0, last_reject: null };

/**
 * @param query names the devices, as GET /admin/devices takes it
 * @returns undefined: without a gateway, or it cannot tell now, which is said
 */
export async function heardOf(
  context: Context,
  client: GatewayClient | undefined,
  query: Readonly<Record<string, string | undefined>>,
): Promise<Heard | undefined> {
  if (client === undefined) return undefined;
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const words = new URLSearchParams({ ...Object.fromEntries(given), order: "name", limit: String(pageMax) });
  const known = new Map<string, HeardColumns>();
  try {
    for (let next: string | null = ""; next !== null;) {
      if (next !== "") words.set("after", next);
      const page = activityPage.parse(
        await client.request("GET", `/admin/devices/activity?${words.toString()}`),
      );
      for (const {
        tenant_id: tenant,
        device_id: device,
        last_seen,
        messages,
        rejected,
        last_reject,
      } of page.devices)
        known.set(deviceKey(tenant, device), { last_seen, messages, rejected, last_reject });
      if (next === "" && page.earlier_unknown !== null)
        context.stderr(`when devices were heard before the start is not known: ${page.earlier_unknown}\n`);
      next = page.next;
    }
  } catch (error) {
    context.stderr(`when devices were heard is not known: ${explain(error)}\n`);
    return undefined;
  }
  return ({ tenantId, deviceId }) => known.get(deviceKey(tenantId, deviceId)) ?? nothing;
}
