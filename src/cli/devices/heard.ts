/**
 * When and how often devices were heard, what of theirs was rejected and from where they are connected, for `devices list` and `show`: a
 * running gateway knows it, the registry does not. Without --gateway the one on this host is asked, if it runs.
 */
import { z } from "zod";
import { pageMax } from "../../admin/device-pages.ts";
import { deviceKey, type DeviceId } from "../../core/device.ts";
import { explain } from "../../core/log/log.ts";
import { activityPage, type ActivityPage } from "../../http/activity-endpoints.ts";
import type { Context } from "../command.ts";
import { configured } from "../configuration.ts";
import { type GatewayClient, withQuery } from "../gateway-client.ts";
import { clientOf } from "../which-gateway.ts";

/** null: not heard, or nothing rejected, since the gateway started or as far back as it looks. */
export interface HeardColumns {
  readonly last_seen: string | null;
  readonly messages: number;
  readonly rejected: number;
  readonly last_reject: string | null;
  /** Absent: it has no embedded broker, or is too old to tell. */
  readonly connections?: ActivityPage["devices"][number]["connections"];
}

export type Heard = (device: DeviceId) => HeardColumns;

const nothing: HeardColumns = { last_seen: null, messages: 0, rejected: 0, last_reject: null };

/**
 * @param query names the devices, as GET /admin/devices takes it
 * @param given the gateway that --gateway names
 * @param last of those that are to be told of: behind it nothing is read
 * @returns undefined: no gateway runs here, or it cannot tell now, which is said
 */
export async function heardOf(
  context: Context,
  given: GatewayClient | undefined,
  query: Readonly<Record<string, string | undefined>>,
  last: DeviceId,
): Promise<Heard | undefined> {
  const client = given ?? (await gatewayOfThisHost(context));
  if (client === undefined) return undefined;
  const asked = { ...query, order: "name", limit: pageMax };
  const known = new Map<string, HeardColumns>();
  try {
    const lastKey = deviceKey(last.tenantId, last.deviceId);
    for (let after: string | null | undefined; after !== null && !known.has(lastKey);) {
      const path = withQuery("/admin/devices/activity", { ...asked, after });
      const page = activityPage.parse(await client.request("GET", path));
      for (const {
        tenant_id: tenant,
        device_id: device,
        last_seen,
        messages,
        rejected,
        last_reject,
        connections,
      } of page.devices)
        known.set(deviceKey(tenant, device), { last_seen, messages, rejected, last_reject, connections });
      if (after === undefined && page.earlier_unknown !== null)
        context.stderr(`when devices were heard before the start is not known: ${page.earlier_unknown}\n`);
      after = page.next;
    }
  } catch (error) {
    context.stderr(`when devices were heard is not known: ${explain(error)}\n`);
    return undefined;
  }
  return ({ tenantId, deviceId }) => known.get(deviceKey(tenantId, deviceId)) ?? nothing;
}

/** What listens there is asked for its name first: it may be another gateway, or no gateway at all, which may never answer. */
const probeMs = 2_000;

/** undefined: none answers, or it is not the one of these settings; nothing is said of it, for nobody asked for it. */
async function gatewayOfThisHost(context: Context): Promise<GatewayClient | undefined> {
  const quiet = { ...context, stderr() {} };
  const here = { gateway: undefined, tokenFile: undefined };
  try {
    const { gatewayId } = configured(quiet).config.general;
    const stats = await clientOf(quiet, here, probeMs).request("GET", "/stats");
    return named.parse(stats).gateway_id === gatewayId ? clientOf(quiet, here) : undefined;
  } catch {
    return undefined;
  }
}

const named = z.object({ gateway_id: z.string() });
