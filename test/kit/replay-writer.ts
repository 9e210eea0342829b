/**
 * A process of its own that replays dead letters until it is killed: `DATA_DIR` is its one argument. It writes
 * `lettersMax` entries, each refused, and then replays them a few at a time, reporting it on its output.
 */
import { Books } from "../../src/intake/books.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createDeadLetterQueue } from "../../src/admin/review/dead-letter-queue.ts";
import { Spool } from "../../src/spool/spool.ts";
import { defaultSpoolSettings, entries, readAll } from "./spool.ts";

export const lettersMax = 2_000;

export function open(dataDir: string) {
  const spool = new Spool({ dataDir, settings: defaultSpoolSettings, clock: systemClock });
  const queue = createDeadLetterQueue({
    deadLetters: spool.deadLetters,
    sinks: ["influx"],
    requeue(some, letters) {
      const books = new Books(spool.sidecar.books());
      for (const _ of some) books.replay();
      spool.append(some, { books: books.toKeep(0), deadLetterIds: letters });
    },
  });
  return { spool, queue };
}

if (import.meta.main) {
  const { spool, queue } = open(process.argv[2] ?? "");
  if (spool.head === 0) {
    const books = new Books(new Map());
    const some = entries(lettersMax);
    for (const entry of some) {
      books.receive();
      books.count(entry);
    }
    spool.append(some, { books: books.toKeep(0) });
    // In one transaction they would be faster, but this is not what is tested.
    for (const entry of readAll(spool).slice(0, lettersMax))
      spool.deadLetters.put("influx", "e", entry, "no");
  }
  console.log("ready");
  const chosen = spool.deadLetters.list({ limit: lettersMax }).map(({ id }) => id);
  for (let at = 0; at < chosen.length; at += 3) {
    await queue.replay({ ids: chosen.slice(at, at + 3), after: 0, dry_run: false });
    console.log("some");
    await Bun.sleep(0);
  }
  console.log("done");
  await Bun.sleep(60_000);
}
