/**
 * /admin/devices: the registry over HTTP. A token appears in exactly one answer, that of the request that makes it,
 * and in no request: a client that already has a token sends its hash.
 */
import { z } from "zod";
import {
  changeColumns,
  changeOf,
  columnsOf,
  deviceColumns,
  filterOf,
  filterQuery,
  graceSecondsMax,
  newDeviceColumns,
  newDeviceOf,
  tokenHash,
} from "../admin/device-columns.ts";
import type { Device, DeviceChange, DeviceId, DeviceStore } from "../core/device.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import { limitParameter } from "./schemas.ts";
import { newToken } from "../core/token.ts";

const listQuery = z.strictObject({
  ...filterQuery,
  limit: limitParameter,
  after: z
    .string()
    .regex(/^[^/\p{Cc}]+\/\P{Cc}+$/u, "must be the `next` of an earlier answer")
    .optional()
    .describe("Continue after this device: the `next` of the previous answer."),
});
const page = z.object({
  devices: z.array(deviceColumns),
  next: z.string().nullable().describe("The `after` of the next page; null: this is the last page."),
});
const made = deviceColumns.extend({
  token: z.string().optional().describe("Shown in this answer only; absent if none was made."),
});
const newDevice = newDeviceColumns
  .extend({ make_token: z.boolean().default(false).describe("Make a token and show it in the answer.") })
  .refine(
    (d) => !(d.make_token && d.provision_token_hash !== undefined),
    "make_token or provision_token_hash, not both",
  );
const rotation = z.strictObject({
  grace_seconds: z
    .number()
    .int()
    .min(0)
    .max(graceSecondsMax)
    .default(0)
    .describe("How long the old token stays valid. The one before it ends at once."),
  provision_token_hash: tokenHash
    .optional()
    .describe("The SHA-256 of the new token, if it was made elsewhere; absent: a token is made here."),
});
const removed = z.object({ status: z.literal("device removed") });

export function deviceEndpoints(devices: DeviceStore): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/admin/devices",
      id: "devices.list",
      summary: "List devices, ordered by tenant and device",
      query: listQuery,
      answer: { help: "A page.", schema: page },
      problems: [503],
      async handle({ query }) {
        const found = await devices.list({
          ...filterOf(query),
          limit: query.limit,
          after: afterOf(query.after),
        });
        const last = found.length < query.limit ? undefined : found.at(-1);
        return {
          devices: found.map(columnsOf),
          next: last === undefined ? null : `${last.tenantId}/${last.deviceId}`,
        };
      },
    }),
    endpoint({
      method: "POST",
      path: "/admin/devices",
      id: "devices.create",
      summary: "Register a device, with a token made here, the hash of one made elsewhere, or none",
      body: newDevice,
      answer: { status: 201, help: "Registered.", schema: made },
      problems: [409, 503],
      async handle({ body: { make_token: makes, ...columns }, request, note }) {
        note({ tenant: columns.tenant_id, device: columns.device_id, site: columns.site_id });
        const token = makes ? newToken() : undefined;
        const device = { ...newDeviceOf(columns), ...(token && { tokenHash: token.tokenHash }) };
        const [added] = await devices.add([device]);
        if (added !== true) return problem(409, "A device with this id is already registered.");
        const found = await devices.get(device);
        if (token !== undefined && request.signal.aborted) {
          note({ removed_again: await devices.remove(device) });
          return problem(400, "The request ended before its answer: nobody would know the token.");
        }
        if (found === undefined) return problem(409, "The device was removed again at the same moment.");
        return { ...columnsOf(found), ...(token && { token: token.token }) };
      },
    }),
    endpoint({
      method: "GET",
      path: "/admin/devices/{tenant}/{device}",
      id: "devices.read",
      summary: "Read a device",
      answer: { help: "The device.", schema: deviceColumns },
      problems: [404, 503],
      handle: async ({ params }) => shownOrUnknown(await devices.get(idOf(params))),
    }),
    endpoint({
      method: "PATCH",
      path: "/admin/devices/{tenant}/{device}",
      id: "devices.update",
      summary: "Change a device's site, status, firmware version or metadata",
      body: changeColumns,
      answer: { help: "The device as it is now.", schema: deviceColumns },
      problems: [404, 503],
      async handle({ params, body, note }) {
        note({ change: body });
        return shownOrUnknown(await devices.update(idOf(params), changeOf(body)));
      },
    }),
    endpoint({
      method: "DELETE",
      path: "/admin/devices/{tenant}/{device}",
      id: "devices.remove",
      summary: "Remove a device from the registry; its data stays",
      answer: { help: "Removed.", schema: removed },
      problems: [404, 503],
      handle: async ({ params }) =>
        (await devices.remove(idOf(params))) ? { status: "device removed" as const } : unknown(),
    }),
    statusEndpoint(devices, "revoke", { status: "REVOKED" }, "Reject a device's messages from now on"),
    statusEndpoint(devices, "activate", { status: "ACTIVE" }, "Accept a device's messages again"),
    endpoint({
      method: "POST",
      path: "/admin/devices/{tenant}/{device}/rotate-token",
      id: "devices.rotate_token",
      summary: "Give a device a new token",
      body: rotation,
      answer: { help: "The device, and its token if it was made here.", schema: made },
      problems: [404, 503],
      async handle({ params, body, note }) {
        note({ grace_seconds: body.grace_seconds, made_here: body.provision_token_hash === undefined });
        const token = body.provision_token_hash === undefined ? newToken() : undefined;
        const hash = token?.tokenHash ?? body.provision_token_hash ?? "";
        const device = await devices.update(idOf(params), {
          tokenHash: hash,
          graceMs: body.grace_seconds * 1000,
        });
        return device === undefined
          ? unknown()
          : { ...columnsOf(device), ...(token && { token: token.token }) };
      },
    }),
  ];
}

function statusEndpoint(devices: DeviceStore, word: string, change: DeviceChange, summary: string): Endpoint {
  return endpoint({
    method: "POST",
    path: `/admin/devices/{tenant}/{device}/${word}`,
    id: `devices.${word}`,
    summary,
    answer: { help: "The device as it is now.", schema: deviceColumns },
    problems: [404, 503],
    handle: async ({ params }) => shownOrUnknown(await devices.update(idOf(params), change)),
  });
}

function afterOf(after: string | undefined): DeviceId | undefined {
  if (after === undefined) return undefined;
  // A registry of others may have devices with "/" in their names.
  const slash = after.indexOf("/");
  return { tenantId: after.slice(0, slash), deviceId: after.slice(slash + 1) };
}

function idOf({ tenant = "", device = "" }: Readonly<Record<string, string>>): DeviceId {
  return { tenantId: tenant, deviceId: device };
}

function shownOrUnknown(device: Device | undefined) {
  return device === undefined ? unknown() : columnsOf(device);
}

function unknown(): Response {
  return problem(404, "No device with this id is registered.");
}
