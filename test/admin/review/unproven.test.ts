/** Quarantined messages that are replayed: those whose sender could not prove to be the device are not accepted by `--all`. */
import { expect, test } from "bun:test";
import { silentLog } from "../../../src/core/log/log.ts";
import { createQuarantineQueue } from "../../../src/admin/review/quarantine-queue.ts";
import type { QuarantineRow } from "../../../src/core/quarantine-table.ts";
import { Books } from "../../../src/intake/books.ts";
import { anEntry } from "../../kit/spool.ts";

const reasons = ["UNREGISTERED_DEVICE", "TOKEN_INVALID", "TOKEN_MISSING"];

function queue() {
  const rows: QuarantineRow[] = reasons.map((reason, i) => ({
    id: i + 1,
    reason,
    topic: "tenant/acme/device/d1/telemetry",
    tenantId: "acme",
    siteId: "lab-1",
    deviceId: "d1",
    msgType: "telemetry",
    ingestedAt: "2026-11-21T00:00:00.000Z",
    eventTs: null,
    payload: "{}",
  }));
  const back: number[] = [];
  const books = new Books(new Map());
  const quarantine = createQuarantineQueue({
    table: {
      lastId: () => Promise.resolve(3),
      list: ({ reason, ids }) =>
        Promise.resolve(
          rows.filter((row) => (!reason || row.reason === reason) && (!ids || ids.includes(row.id))),
        ),
      remove: () => Promise.resolve(0),
      divide: () => Promise.resolve([]),
    },
    registry: { find: () => Promise.resolve([]) },
    judge: {
      reread: (entry) => ({
        devices: [],
        parts: () => [entry],
        judge: () => [anEntry({ ...entry, kind: "event", reason: null, detail: "no metrics" })],
      }),
    },
    requeue(entries, count) {
      back.push(...entries.map((entry) => entry.returned?.quarantineId ?? 0));
      count(books);
    },
    settledTo: () => 1,
    head: () => 1,
    log: silentLog,
  });
  return { quarantine, back, books };
}

test("they stay if everything is selected, with the reason why", async () => {
  const { quarantine, back } = queue();
  const { done, kept } = await quarantine.replay({ after: 0, dry_run: false });
  expect([done, back]).toEqual([1, [1]]);
  expect(kept.map(({ id }) => id)).toEqual([2, 3]);
  expect(kept[0]?.why).toContain("asked for by this reason");
});

test("they are replayed if the operator names the reason, or the message", async () => {
  const { quarantine, back } = queue();
  await quarantine.replay({ after: 0, dry_run: false, reason: "TOKEN_INVALID" });
  await quarantine.replay({ after: 0, dry_run: false, ids: [3] });
  expect(back).toEqual([2, 3]);
});

test("telemetry without metrics is counted as such when it comes back", async () => {
  const { quarantine, books } = queue();
  await quarantine.replay({ after: 0, dry_run: false, ids: [1, 2] });
  expect([books.totals().accepted, books.withoutMetrics([]), books.balancedWith(0)]).toEqual([2, 2, true]);
});
