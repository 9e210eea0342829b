/** What the commands about devices share: which store they work on, and how a device is named. */
import { isLevel } from "../../core/topic-level.ts";
import { z } from "zod";
import type { DeviceId, DeviceStore } from "../../core/device.ts";
import { type Context, json, option, type Option, UsageError, string } from "../command.ts";
import { devicesOf, gatewayClient, type GatewayClient } from "../gateway-client.ts";
import type { Registry } from "../../core/registry.ts";
import { jsonObject } from "../../admin/device-columns.ts";
import { parseToPrint } from "../../core/text/json-digits.ts";
import { openConfiguredStore } from "../configured-store.ts";
import { registryOptions, type WhichGateway } from "../which-gateway.ts";

export const which = { tenant: "The tenant's id", device: "The device's id" };
export const common = { ...registryOptions, json };
export const filterOptions = {
  tenant: string("--tenant <id>", "Only of this tenant"),
  site: string("--site <id>", "Only of this site"),
  status: string("--status <status>", "Only with this status"),
  match: string("--match <text>", "Only devices whose id contains this"),
};

/**
 * Opens the registry that the settings name, or with --gateway that of a running gateway.
 * @param mayMake true if the command puts devices in, so that a missing local store is created
 */
export async function withDevices(
  context: Context,
  options: WhichGateway,
  work: (devices: DeviceStore, find?: Registry["find"], client?: GatewayClient) => Promise<number>,
  mayMake = false,
): Promise<number> {
  if (options.gateway !== undefined) {
    const client = gatewayClient(context, options.gateway, options.tokenFile);
    return work(devicesOf(client), undefined, client);
  }
  const store = openConfiguredStore(context, mayMake);
  try {
    return await work(store.registry, store.registry.find);
  } finally {
    await store.close();
  }
}

/** Checks an id: tenant and device are each one level of a topic name (MQTT 5 §4.7). */
export function deviceId({ tenant, device }: { tenant: string; device: string }): DeviceId {
  for (const level of [tenant, device]) {
    if (!isLevel(level)) {
      throw new UsageError(
        `"${level}" cannot be an id: an id is one level of an MQTT topic, so it is not empty and has no / + #`,
      );
    }
  }
  return { tenantId: tenant, deviceId: device };
}

/** An option that names one device. */
export function deviceOption(flags: string, help: string): Option<DeviceId | undefined> {
  return option(flags, help, () =>
    z
      .string()
      .regex(/^[^/]+\/[^/]+$/, "must be <tenant>/<device>")
      .transform((said) => {
        const [tenantId = "", device = ""] = said.split("/");
        return { tenantId, deviceId: device };
      })
      .optional(),
  );
}

/** Empty: what it has is not known any more. */
export const firmwareOption = option("--firmware <version>", "Its firmware version", () =>
  z.string().optional(),
);

export const metadataOption = option("--metadata <json>", "A JSON object that is kept with the device", () =>
  z
    .string()
    .transform((text, context) => {
      try {
        return jsonObject.parse(parseToPrint(text));
      } catch {
        context.addIssue({ code: "custom", message: "must be a JSON object" });
        return z.NEVER;
      }
    })
    .optional(),
);
