/**
 * `sluice dead-letters …`: what downstream systems refused. The command works with a running gateway over HTTP; if no
 * gateway has the spool open, it works on the spool itself.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Books } from "../../intake/books.ts";
import type { Config } from "../../config/index.ts";
import { systemClock } from "../../core/clock.ts";
import {
  type DeadLetterFull,
  type DeadLetterRow,
  deadLetterSpec,
} from "../../admin/review/dead-letter-rows.ts";
import { createDeadLetterQueue } from "../../admin/review/dead-letter-queue.ts";
import { SpoolInUse } from "../../spool/lock.ts";
import { Spool } from "../../spool/spool.ts";
import { type CommandGroup, type Context, string } from "../command.ts";
import { configured } from "../configuration.ts";
import { sayWhere } from "../report.ts";
import { queueCommands, type OpenQueue } from "./queue-commands.ts";
import { askedSinks } from "../../sink/index.ts";
import { storeNameOf } from "../../store/open-store.ts";
import { remoteQueue } from "./remote-queue.ts";
import { gatewayOptions } from "../which-gateway.ts";
import { setAside } from "./set-aside.ts";

const queueGroup = queueCommands<DeadLetterRow, DeadLetterFull>({
  name: "dead-letters",
  summary: "Look through what downstream systems refused, replay it or discard it",
  things: deadLetterSpec.things,
  own: { sink: string("--sink <name>", "Only what this sink refused") },
  where: gatewayOptions("the one on this host; the spool of DATA_DIR itself if none has it open"),
  heading: ["id", "sink", "refused", "kind", "tenant", "device", "why"],
  cells: (row) => [row.id, row.sink, row.refused_at, row.kind, row.tenant_id, row.device_id, row.why],
  async open(context, which) {
    const local =
      which.gateway === undefined ? await openSpool(context, configured(context).config) : undefined;
    return local ?? { queue: remoteQueue(context, which, deadLetterSpec), close: () => Promise.resolve() };
  },
});

export const deadLetters: CommandGroup = { ...queueGroup, commands: [...queueGroup.commands, setAside] };

/** Returns undefined if a gateway has the spool, or there is none here. */
async function openSpool(
  context: Context,
  config: Config,
): Promise<OpenQueue<DeadLetterRow, DeadLetterFull> | undefined> {
  const { dataDir } = config.general;
  const path = join(dataDir, "spool.db");
  if (!existsSync(path)) return undefined;
  try {
    const spool = new Spool({ dataDir, settings: config.spool, clock: systemClock });
    sayWhere(context, `the spool, ${path}`);
    const queue = createDeadLetterQueue({
      deadLetters: spool.deadLetters,
      sinks: sinkNames(config),
      requeue(entries, letters) {
        const books = new Books(spool.sidecar.books());
        for (const _ of entries) books.replay();
        spool.append(entries, { books: books.toKeep(0), deadLetterIds: letters });
      },
    });
    // oxlint-disable-next-line typescript/require-await
    return { queue, close: async () => spool.close() };
  } catch (error) {
    if (error instanceof SpoolInUse) return undefined;
    throw error;
  }
}

function sinkNames(config: Config): readonly string[] {
  return [storeNameOf(config.postgres), ...askedSinks(config).map(({ name }) => name)];
}
