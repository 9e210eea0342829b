/**
 * `sluice devices …`: the registry from the command line. A token is printed once, when it is made, and exists
 * nowhere else: the registry keeps its SHA-256. A running gateway notices every change by itself.
 */
import {
  changeColumns,
  changeOf,
  filterOf,
  graceSecondsMax,
  newDeviceColumns,
  newDeviceOf,
  statuses,
} from "../../admin/device-columns.ts";
import { devicePages } from "../../admin/device-pages.ts";
import { whyOf } from "../../core/text/zod-words.ts";
import { toColumns } from "../../core/columns.ts";
import type { DeviceId, DeviceStore } from "../../core/device.ts";
import { newToken } from "../../core/token.ts";
import type { z } from "zod";
import {
  command,
  type CommandGroup,
  type Context,
  requiredString,
  number,
  UsageError,
  string,
} from "../command.ts";
import {
  named,
  printDevice,
  printDevices,
  printRemoved,
  printToken,
  unknownDevice,
} from "./print-devices.ts";
import {
  common,
  deviceId,
  filterOptions,
  firmwareOption,
  metadataOption,
  which,
  withDevices,
} from "./device-options.ts";
import { exportFile, importFile } from "./bulk.ts";
import { heardOf } from "./heard.ts";
import { inForce } from "./unsure.ts";
import type { GatewayClient } from "../gateway-client.ts";
import type { WhichGateway } from "../which-gateway.ts";

const add = command({
  name: "add",
  summary: "Register a device and print its token, once",
  arguments: which,
  options: {
    site: requiredString("--site <id>", "The site that its messages must name"),
    firmware: firmwareOption,
    metadata: metadataOption,
    ...common,
  },
  run(context, { args, options }) {
    const id = deviceId(args);
    const { site: siteId, firmware: fwVersion, metadata } = options;
    const described = meant(newDeviceColumns, toColumns({ ...id, siteId, fwVersion, metadata }));
    const register = async (store: DeviceStore) => {
      if ((await store.get(id)) !== undefined) return isRegistered(context, id);
      const { token, tokenHash } = newToken();
      // Printed before the device is registered: a device whose token nobody has seen would be of no use.
      printToken(context, id, token, options.json);
      const device = { ...newDeviceOf(described), tokenHash };
      return inForce(
        context,
        async () => (await store.add([device]))[0] === true || isRegistered(context, id),
      );
    };
    return withDevices(context, options, register, true);
  },
});

const list = command({
  name: "list",
  summary: "List devices",
  options: {
    ...filterOptions,
    limit: number("--limit <n>", "At most this many", { default: 1_000_000, min: 1 }),
    ...common,
  },
  run: (context, { options }) =>
    withDevices(context, options, async (store, _, client) => {
      const found = (await Array.fromAsync(devicePages(store, filterOf(options), options.limit))).flat();
      const { tenant, site, status, match } = options;
      const isFiltered = [tenant, site, status, match].some((given) => given !== undefined);
      const isStatus = status === undefined || statuses.some((word) => word === status);
      const hint = isStatus ? "" : `: the words for a status are ${statuses.join(", ")}`;
      const none = isFiltered
        ? `no device matches${hint}`
        : "no device is registered: see `sluice devices add`";
      const last = found.at(-1);
      const heard = last && (await heardOf(context, client, { tenant, site, status, match }, last));
      return printDevices(context, found, { none, asJson: options.json, heard });
    }),
});

const show = command({
  name: "show",
  summary: "Show a device",
  arguments: which,
  options: common,
  run: (context, { args, options }) =>
    withDevice(context, args, options, async (store, id, client) => {
      const only = { tenant: id.tenantId, match: id.deviceId };
      const found = await store.get(id);
      const heard = found && (await heardOf(context, client, only, id));
      return printDevice(context, id, found, options.json, heard);
    }),
});

const update = command({
  name: "update",
  summary: "Change a device's site, firmware version or metadata",
  arguments: which,
  options: {
    site: string("--site <id>", "The site that its messages must name from now on"),
    firmware: firmwareOption,
    metadata: metadataOption,
    ...common,
  },
  run(context, { args, options: { site, firmware, metadata, ...options } }) {
    if (site === undefined && firmware === undefined && metadata === undefined)
      throw new UsageError("nothing to change: give --site, --firmware or --metadata");
    const change = changeOf(meant(changeColumns, { site_id: site, fw_version: firmware, metadata }));
    return withDevice(context, args, options, async (store, id) => {
      return printDevice(context, id, await store.update(id, change), options.json);
    });
  },
});

const revoke = setStatus("revoke", "REVOKED", "Reject a device's messages from now on");
const activate = setStatus("activate", "ACTIVE", "Accept a device's messages again");

const rotateToken = command({
  name: "rotate-token",
  summary: "Give a device a new token and print it, once",
  arguments: which,
  options: {
    grace: number("--grace <seconds>", "How long the old token stays valid; the one before it ends at once", {
      default: 0,
      max: graceSecondsMax,
    }),
    ...common,
  },
  run: (context, { args, options }) =>
    withDevice(context, args, options, async (store, id) => {
      if ((await store.get(id)) === undefined) return unknownDevice(context, id);
      const { token, tokenHash } = newToken();
      printToken(context, id, token, options.json);
      const change = { tokenHash, graceMs: options.grace * 1000 };
      return inForce(
        context,
        async () => (await store.update(id, change)) !== undefined || unknownDevice(context, id),
      );
    }),
});

const remove = command({
  name: "remove",
  summary: "Remove a device from the registry; its data stays",
  arguments: which,
  options: common,
  run: (context, { args, options }) =>
    withDevice(context, args, options, async (store, id) => {
      if (!(await store.remove(id))) return unknownDevice(context, id);
      return printRemoved(context, id, options.json);
    }),
});

export const devices: CommandGroup = {
  name: "devices",
  summary: "Register devices, give them tokens, revoke them",
  commands: [add, list, show, update, revoke, activate, rotateToken, remove, importFile, exportFile],
};

function setStatus(name: string, status: string, summary: string) {
  return command({
    name,
    summary,
    arguments: which,
    options: common,
    run: (context, { args, options }) =>
      withDevice(context, args, options, async (store, id) => {
        return printDevice(context, id, await store.update(id, { status }), options.json);
      }),
  });
}

function isRegistered(context: Context, id: DeviceId): number {
  context.stderr(
    `${named(id)} is already registered; \`sluice devices rotate-token\` gives it a new token\n`,
  );
  return 1;
}

/** Checks values by the same rules as HTTP does. @throws UsageError */
function meant<T>(schema: z.ZodType<T>, given: unknown): T {
  const read = schema.safeParse(given);
  if (!read.success) throw new UsageError(whyOf(read.error));
  return read.data;
}

/** Runs `work` for one device. A wrong id is reported before any store is opened. */
function withDevice(
  context: Context,
  args: { tenant: string; device: string },
  options: WhichGateway,
  work: (store: DeviceStore, id: DeviceId, client?: GatewayClient) => Promise<number>,
): Promise<number> {
  const id = deviceId(args);
  return withDevices(context, options, (store, _, client) => work(store, id, client));
}
