/**
 * A process of its own that writes groups into a spool until it is killed, and reports on its output what is durable:
 * `DATA_DIR` is its one argument. Every entry's payload is its own number; the book "accepted" counts them all.
 */
import { systemClock } from "../../src/core/clock.ts";
import { Spool } from "../../src/spool/spool.ts";
import { defaultSpoolSettings, entries } from "./spool.ts";

const spool = new Spool({
  dataDir: process.argv[2] ?? "",
  settings: defaultSpoolSettings,
  clock: systemClock,
});
spool.keepFor([]);
spool.holdFrom(1);
console.log(`open ${spool.head}`);
for (let group = 1; ; group++) {
  const from = spool.head + 1;
  const size = 1 + ((group * 7_919) % 300);
  const books = new Map([["accepted", spool.head + size]]);
  spool.setCursor("postgres", {
    start: 0,
    seq: spool.head,
    delivered: spool.head,
    ignored: 0,
    refused: 0,
    skipped: 0,
    detours: new Map(),
  });
  spool.append(entries(size, from), { books, packets: [from, 1] });
  console.log(spool.head);
  await Bun.sleep(0);
}
