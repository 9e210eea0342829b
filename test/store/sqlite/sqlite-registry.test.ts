/** What only the local registry has to survive. The rest is in registry-contract.test.ts. */
import { expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../../src/core/clock.ts";
import { localRegistry, localSink } from "../../kit/stores.ts";
import { delivery, events } from "../../contract/entries.ts";
import { recorder } from "../../registry/recorder.ts";

/** A clock whose ticks the test calls. */
function manual(): { clock: Clock; tick(): void } {
  const runs = new Set<() => void>();
  const repeat = (_ms: number, run: () => void) => {
    runs.add(run);
    return { cancel: () => void runs.delete(run) };
  };
  const clock = { wallMs: () => 0, monoMs: () => 0, after: repeat, every: repeat };
  return { clock, tick: () => runs.forEach((run) => run()) };
}

test("what the sink writes into the same file is no change of the registry", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-local-"));
  const path = join(dir, "local.db");
  const { clock, tick } = manual();
  const registry = localRegistry({ path, clock });
  const sink = localSink({ path });
  const heard = recorder();
  const unwatch = registry.watch(heard.watcher);
  await sink.deliver(delivery(events(1, 10)));
  tick();
  expect(heard.calls).toEqual(["restored"]);
  await registry.add([{ tenantId: "acme", deviceId: "d1", siteId: "s" }]);
  tick();
  tick();
  expect(heard.calls).toEqual(["restored", "all"]);
  await unwatch();
  await registry.setSetting("MODE", "DEV");
  tick();
  expect(heard.calls).toEqual(["restored", "all"]);
  await registry.close();
  await sink.close();
  rmSync(dir, { recursive: true });
});

test("a file that was moved under a running gateway takes no device until it is back: its token would be good for nothing", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-local-"));
  const path = join(dir, "local.db");
  const { clock, tick } = manual();
  const registry = localRegistry({ path, clock });
  const heard = recorder();
  const unwatch = registry.watch(heard.watcher);
  const device = { tenantId: "acme", deviceId: "d1" };
  renameSync(path, `${path}-aside`);
  tick();
  const writes = [
    () => registry.add([{ ...device, siteId: "s" }]),
    () => registry.update(device, { status: "REVOKED" }),
    () => registry.remove(device),
    () => registry.setSetting("MODE", "DEV"),
  ];
  for (const write of writes)
    expect(String(await write().catch((error: unknown) => error))).toContain(`${path} was moved`);
  expect(await registry.get(device)).toBeUndefined();
  renameSync(`${path}-aside`, path);
  tick();
  expect(heard.calls).toEqual(["restored", "lost", "restored"]);
  expect(await registry.add([{ ...device, siteId: "s" }])).toEqual([true]);
  await unwatch();
  await registry.close();
  rmSync(dir, { recursive: true });
});

test("a file that can no longer be read is reported as a lost watch, once", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sluice-local-"));
  const { clock, tick } = manual();
  const registry = localRegistry({ path: join(dir, "local.db"), clock });
  const heard = recorder();
  registry.watch(heard.watcher);
  await registry.close();
  tick();
  tick();
  expect(heard.calls).toEqual(["restored", "lost"]);
  await expect(registry.find([{ tenantId: "a", deviceId: "b" }])).rejects.toThrow();
  rmSync(dir, { recursive: true });
});
