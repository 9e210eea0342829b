/** `sluice quarantine …`: rejects that were kept. Always through the running gateway: it alone judges and spools. */
import { type QuarantineFull, type QuarantineLine, quarantineDeskSpec } from "../../http/quarantine.ts";
import { words } from "../command.ts";
import { deskCommands } from "./desk.ts";
import { remoteDesk } from "../remote.ts";

export const quarantine = deskCommands<QuarantineLine, QuarantineFull>({
  name: "quarantine",
  summary: "Look through kept rejects, have them judged anew or discard them; the gateway must run",
  things: quarantineDeskSpec.things,
  own: { reason: words("--reason <code>", "Only with this reason (see `sluice help reasons`)") },
  heading: ["id", "reason", "received", "tenant", "device", "type"],
  cells: (row) => [row.id, row.reason, row.ingested_at, row.tenant_id, row.device_id, row.msg_type],
  open: (context, which) =>
    Promise.resolve({
      desk: remoteDesk(context, which, quarantineDeskSpec),
      close: () => Promise.resolve(),
    }),
});
