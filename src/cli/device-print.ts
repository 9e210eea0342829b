/** What `sluice devices` prints: a table for people, JSON for scripts; a token alone on standard output. */
import type { DeviceId, DeviceRecord } from "../registry/registry.ts";
import type { Context } from "./command.ts";
import { table } from "./report.ts";

export function printToken(context: Context, id: DeviceId, token: string, asJson: boolean): number {
  if (asJson) context.stdout(jsonLine({ tenant_id: id.tenantId, device_id: id.deviceId, token }));
  else {
    context.stdout(`${token}\n`);
    context.stderr(`this is the token of ${named(id)}; it is not shown again\n`);
  }
  return 0;
}

export function printDevice(
  context: Context,
  id: DeviceId,
  found: DeviceRecord | undefined,
  asJson: boolean,
): number {
  if (found === undefined) return unknownDevice(context, id);
  context.stdout(asJson ? jsonLine(asColumns(found)) : deviceTable([found]));
  return 0;
}

export function printDevices(context: Context, found: readonly DeviceRecord[], asJson: boolean): number {
  context.stdout(asJson ? jsonLine(found.map(asColumns)) : deviceTable(found));
  return 0;
}

/** Under the names of the columns, as in the tables and over HTTP. */
function asColumns(d: DeviceRecord): Readonly<Record<string, unknown>> {
  return {
    tenant_id: d.tenantId,
    device_id: d.deviceId,
    site_id: d.siteId,
    status: d.status,
    token_set: d.tokenSet,
    provisioned_at: d.provisionedAt,
    fw_version: d.fwVersion,
    metadata: d.metadata,
  };
}

function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function deviceTable(found: readonly DeviceRecord[]): string {
  const rows = found.map((d) => [
    d.tenantId,
    d.deviceId,
    d.siteId,
    d.status,
    d.tokenSet ? "yes" : "no",
    d.provisionedAt ?? "-",
    d.fwVersion ?? "-",
  ]);
  return table([["tenant", "device", "site", "status", "token", "provisioned", "firmware"], ...rows]);
}

export function unknownDevice(context: Context, id: DeviceId): number {
  context.stderr(`${named(id)} is not registered\n`);
  return 1;
}

export function named({ tenantId, deviceId: device }: DeviceId): string {
  return `device ${tenantId}/${device}`;
}
