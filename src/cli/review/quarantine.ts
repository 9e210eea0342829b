/**
 * `sluice quarantine …`: kept rejects. It always works through the running gateway, because only the gateway judges
 * and spools.
 */
import {
  type QuarantineFull,
  type QuarantineLine,
  quarantineSpec,
} from "../../admin/review/quarantine-rows.ts";
import { string } from "../command.ts";
import { queueCommands } from "./queue-commands.ts";
import { remoteQueue } from "./remote-queue.ts";
import { runningOptions } from "../which-gateway.ts";

export const quarantine = queueCommands<QuarantineLine, QuarantineFull>({
  name: "quarantine",
  summary: "Look through kept rejects, have them judged again or discard them; the gateway must run",
  things: quarantineSpec.things,
  own: { reason: string("--reason <code>", "Only with this reason (see `sluice help reasons`)") },
  where: runningOptions,
  heading: ["id", "reason", "received", "tenant", "device", "type"],
  cells: (row) => [row.id, row.reason, row.ingested_at, row.tenant_id, row.device_id, row.msg_type],
  open: (context, which) =>
    Promise.resolve({
      queue: remoteQueue(context, which, quarantineSpec),
      close: () => Promise.resolve(),
    }),
});
