/** `sluice rejects`: what a running gateway rejected since its start, by reason and device, with the remedy. */
import { z } from "zod";
import { reasons } from "../judge/reasons.ts";
import { rejectRow } from "../admin/recent-rejects.ts";
import { command, number, string } from "./command.ts";
import { withQuery } from "./gateway-client.ts";
import { jsonLine, table } from "./report.ts";
import { clientOf, runningOptions } from "./which-gateway.ts";
import { refuseUnknownReason } from "./known-reasons.ts";

export const rejects = command({
  name: "rejects",
  summary: "Show what was rejected since the gateway's start: which device, why, how often, and the cure",
  options: {
    ...runningOptions,
    reason: string("--reason <code>", "Only with this reason"),
    tenant: string("--tenant <id>", "Only of this tenant"),
    device: string("--device <id>", "Only of this device"),
    limit: number("--limit <n>", "At most so many", { default: 50, min: 1, max: 1_000 }),
  },
  async run(context, { options: { reason, tenant, device, limit, json, ...which } }) {
    const path = withQuery("/admin/rejects", { reason, tenant, device, limit });
    const answer = await clientOf(context, which).request("GET", path);
    if (json) {
      context.stdout(jsonLine(answer));
      return 0;
    }
    const { rejects: rows } = z.object({ rejects: z.array(rejectRow) }).parse(answer);
    if (rows.length === 0) {
      refuseUnknownReason(reason);
      const isFiltered = [reason, tenant, device].some((given) => given !== undefined);
      context.stderr(`nothing ${isFiltered ? "that matches " : ""}was rejected since the start\n`);
      return 0;
    }
    const cells = rows.map((row) => [
      row.reason,
      row.device_id === null ? "-" : `${row.tenant_id}/${row.device_id}`,
      String(row.count),
      row.last_at,
      row.detail ?? row.topic ?? "-",
    ]);
    context.stdout(table([["reason", "device", "count", "last", "what was wrong"], ...cells]));
    const codes = new Set(rows.map((row) => row.reason));
    const cures = reasons
      .filter(({ code }) => codes.has(code))
      .map(({ code, remedy }) => `${code}: ${remedy}\n`);
    context.stdout(`\n${cures.join("")}`);
    return 0;
  },
});
