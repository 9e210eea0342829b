/** Two replays at once: a message that one has requeued, and the tables have taken meanwhile, is not requeued by the other. */
import { expect, test } from "bun:test";
import { createQuarantineQueue } from "../../../src/admin/review/quarantine-queue.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { anEntry } from "../../kit/spool.ts";

test("each message comes back once, though the registry is slow for who asked first", async () => {
  let stored: number[] = [];
  const requeued: number[] = [];
  let others: Promise<unknown> | undefined;
  const all = { after: 0, dry_run: false };
  const queue = createQuarantineQueue({
    table: {
      lastId: () => Promise.resolve(1),
      list: () => Promise.resolve(stored.includes(1) ? [] : [row]),
      remove: () => Promise.resolve(0),
      divide: () => Promise.resolve([]),
    },
    registry: {
      async find() {
        if (others !== undefined) return [];
        // A replay of another, and its next page: both are through by now, or wait until this one is.
        others = queue.replay(all).then(() => ((stored = requeued), queue.replay(all)));
        await Promise.race([others, Bun.sleep(20)]);
        return [];
      },
    },
    judge: {
      reread: (entry) => ({
        devices: [{ tenantId: "acme", deviceId: "d1" }],
        parts: () => [entry],
        judge: () => [anEntry({ ...entry, kind: "event", reason: null })],
      }),
    },
    requeue: (entries) => void requeued.push(...entries.map(({ returned }) => returned?.quarantineId ?? 0)),
    settledTo: () => stored.length,
    head: () => requeued.length,
    log: silentLog,
  });
  await queue.replay(all);
  await others;
  expect(requeued).toEqual([1]);
});

const row = {
  ...{ id: 1, reason: "UNREGISTERED_DEVICE", topic: "tenant/acme/device/d1/telemetry", tenantId: "acme" },
  ...{ siteId: "lab-1", deviceId: "d1", msgType: "telemetry", ingestedAt: "2026-11-21T00:00:00.000Z" },
  ...{ eventTs: null, payload: "{}" },
};
