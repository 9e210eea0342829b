/**
 * `sluice dead-letters …`: what far sides refused. A running gateway is asked over HTTP; where none has the spool open, the
 * command works on the spool itself.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Books } from "../../intake/books.ts";
import type { Config } from "../../config/index.ts";
import { systemClock } from "../../core/clock.ts";
import { type LetterFull, type LetterRow, letterDeskSpec } from "../../http/deadletters.ts";
import { letterDesk } from "../../admin/review/dead-letters.ts";
import { SpoolInUse } from "../../spool/lock.ts";
import { Spool } from "../../spool/spool.ts";
import { type CommandGroup, type Context, words } from "../command.ts";
import { configured } from "../configuration.ts";
import { deskCommands, type OpenDesk } from "./desk.ts";
import { askedSinks } from "../../sink/index.ts";
import { sayStore } from "../configured-store.ts";
import { storeNameOf } from "../../store/open-store.ts";
import { remoteDesk } from "../remote.ts";
import { setAside } from "./set-aside.ts";

const deskGroup = deskCommands<LetterRow, LetterFull>({
  name: "dead-letters",
  summary: "Look through what far sides refused, bring it back or discard it",
  things: letterDeskSpec.things,
  own: { sink: words("--sink <name>", "Only what this sink refused") },
  heading: ["id", "sink", "refused", "kind", "tenant", "device", "why"],
  cells: (row) => [row.id, row.sink, row.refused_at, row.kind, row.tenant_id, row.device_id, row.why],
  async open(context, which) {
    const local =
      which.gateway === undefined ? await openSpool(context, configured(context).config) : undefined;
    return local ?? { desk: remoteDesk(context, which, letterDeskSpec), close: () => Promise.resolve() };
  },
});

export const deadLetters: CommandGroup = { ...deskGroup, commands: [...deskGroup.commands, setAside] };

/** undefined where a gateway has the spool, or there is none here. */
async function openSpool(
  context: Context,
  config: Config,
): Promise<OpenDesk<LetterRow, LetterFull> | undefined> {
  const { dataDir } = config.general;
  const path = join(dataDir, "spool.db");
  if (!existsSync(path)) return undefined;
  try {
    const spool = new Spool({ dataDir, settings: config.spool, clock: systemClock });
    sayStore(context, `the spool, ${path}`);
    const desk = letterDesk({
      letters: spool.deadLetters,
      sinks: sinkNames(config),
      bringBack(entries, letters) {
        const books = new Books(spool.sidecar.books());
        for (const _ of entries) books.replay();
        spool.append(entries, { books: books.toKeep(0), deadLetterIds: letters });
      },
    });
    // oxlint-disable-next-line typescript/require-await
    return { desk, close: async () => spool.close() };
  } catch (error) {
    if (error instanceof SpoolInUse) return undefined;
    throw error;
  }
}

function sinkNames(config: Config): readonly string[] {
  return [storeNameOf(config.postgres), ...askedSinks(config).map(({ name }) => name)];
}
