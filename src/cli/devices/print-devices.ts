/**
 * What `sluice devices` prints: a table for people, JSON for scripts; of a token, only the token on standard output.
 */
import { columnsOf } from "../../admin/device-columns.ts";
import { toColumns } from "../../core/columns.ts";
import type { Device, DeviceId } from "../../core/device.ts";
import type { Context } from "../command.ts";
import { jsonLine, printList, table } from "../report.ts";
import type { Heard, HeardColumns } from "./heard.ts";

export function printToken(context: Context, id: DeviceId, token: string, asJson: boolean): void {
  if (asJson) context.stdout(jsonLine(toColumns({ ...id, token })));
  else {
    context.stdout(`${token}\n`);
    context.stderr(`this is the token of ${named(id)}; it is not shown again\n`);
  }
}

export function printDevice(
  context: Context,
  id: DeviceId,
  found: Device | undefined,
  asJson: boolean,
  heard?: Heard,
): number {
  if (found === undefined) return unknownDevice(context, id);
  if (asJson) context.stdout(jsonLine(columnsWith(found, heard)));
  else context.stdout(table(deviceTable([found], heard)));
  return 0;
}

/** @param none what is said if there are none */
export function printDevices(
  context: Context,
  found: readonly Device[],
  { none, asJson, heard }: { none: string; asJson: boolean; heard: Heard | undefined },
): number {
  if (asJson) context.stdout(jsonLine(found.map((each) => columnsWith(each, heard))));
  else {
    const [heading = [], ...rows] = deviceTable(found, heard);
    printList(context, heading, rows, none);
  }
  return 0;
}

export function printRemoved(context: Context, id: DeviceId, asJson: boolean): number {
  const removed = toColumns({ ...id, removed: true });
  context.stdout(asJson ? jsonLine(removed) : `${named(id)} is removed\n`);
  return 0;
}

const columnsWith = (device: Device, heard?: Heard) => ({ ...columnsOf(device), ...heard?.(device) });

/** @param heard absent: a registry was asked, which does not know it */
function deviceTable(found: readonly Device[], heard?: Heard): string[][] {
  const rows = found.map((d) => [
    d.tenantId,
    d.deviceId,
    d.siteId,
    d.status,
    d.tokenSet ? "yes" : "no",
    d.provisionedAt ?? "-",
    d.fwVersion ?? "-",
    ...heardCells(heard?.(d)),
  ]);
  const more = heard === undefined ? [] : ["last seen", "messages", "rejected", "last reject"];
  return [["tenant", "device", "site", "status", "token", "provisioned", "firmware", ...more], ...rows];
}

function heardCells(heard: HeardColumns | undefined): string[] {
  if (heard === undefined) return [];
  const from = (heard.connections ?? []).map(({ remote }) => remote).join(" and ");
  return [
    `${heard.last_seen ?? "-"}${from && `, connected from ${from}`}`,
    String(heard.messages),
    String(heard.rejected),
    heard.last_reject ?? "-",
  ];
}

export function unknownDevice(context: Context, id: DeviceId): number {
  context.stderr(`${named(id)} is not registered\n`);
  return 1;
}

export function named({ tenantId, deviceId: device }: DeviceId): string {
  return `device ${tenantId}/${device}`;
}
