/** When and how often devices were heard: the counts, the order by silence over a whole registry, and what is told when the past cannot be. */
import { beforeEach, describe, expect, test } from "bun:test";
import { activeDevicesMax, DeviceActivity } from "../../src/admin/device-activity.ts";
import { createHeardDevices, type HeardDevices } from "../../src/admin/heard-devices.ts";
import { RecentRejects } from "../../src/admin/recent-rejects.ts";
import type { DeviceStore } from "../../src/core/device.ts";
import { type LatestDevice, LatestUnavailable, type LatestView } from "../../src/core/latest-view.ts";
import type { SeenDevice } from "../../src/core/recent.ts";
import { event } from "../contract/entries.ts";
import { atHand } from "../kit/at-hand.ts";
import { anEntry, type EntryChanges } from "../kit/spool.ts";
import { simulatedClock } from "../kit/clock.ts";
import { localRegistry } from "../kit/stores.ts";
import { until } from "../kit/until.ts";

const startMs = Date.UTC(2026, 10, 26, 8, 0, 0);
const d1 = { tenantId: "acme", deviceId: "d1" };
const at = atHand();
const heardAt = (receivedMs: number, more: { deviceId?: string; returned?: object } = {}) =>
  event(1, { ...d1, receivedMs, address: at(more.deviceId ?? d1.deviceId), ...more } as EntryChanges);

describe("a device's activity", () => {
  let activity: DeviceActivity;
  beforeEach(() => (activity = new DeviceActivity()));

  test("is its last arrival, its messages, and those of the last minute", () => {
    activity.note(Array.from({ length: 60 }, (_, i) => heardAt(startMs + i * 1_000)));
    expect(activity.of(d1, startMs + 59_999)).toEqual({
      seenMs: startMs + 59_000,
      messages: 60,
      perMinute: 60,
    });
    expect(activity.of(d1, startMs + 90_000)?.perMinute).toBe(30);
    expect(activity.of(d1, startMs + 120_000)?.perMinute).toBe(0);
    activity.note([heardAt(startMs + 75_000)]);
    expect(activity.of(d1, startMs + 75_000)?.perMinute).toBe(46);
    activity.note([heardAt(startMs + 600_000)]);
    expect(activity.of(d1, startMs + 600_000)).toMatchObject({ messages: 62, perMinute: 1 });
  });

  test("a message that was judged later than it came is counted, and does not turn the time back", () => {
    activity.note([heardAt(startMs + 120_000), heardAt(startMs)]);
    expect(activity.of(d1, startMs + 120_000)).toEqual({
      seenMs: startMs + 120_000,
      messages: 2,
      perMinute: 1,
    });
  });

  test("neither who was rejected nor what came back is heard", () => {
    activity.note([
      anEntry({ kind: "reject", reason: "TOKEN_INVALID", ...d1 }),
      heardAt(startMs, { returned: { from: 1, target: null } }),
    ]);
    expect(activity.of(d1, startMs)).toBeUndefined();
  });

  test("of those that are forgotten nothing hangs off the address of one of them", () => {
    const gone = heardAt(startMs, { deviceId: "gone" });
    activity.note([gone]);
    for (let i = 0; i < 2 * activeDevicesMax; i++)
      activity.note([event(1, { tenantId: "acme", deviceId: `other-${i}` })]);
    expect(gone.address?.heard?.home?.size).toBe(0);
  });

  test("at the bound those are forgotten that were silent longest, and the others keep their count", () => {
    const other = (i: number) => heardAt(startMs, { deviceId: `other-${i}` });
    const others = (n: number) => Array.from({ length: n }, (_, i) => other(i));
    activity.note([heardAt(startMs, { deviceId: "gone" }), heardAt(startMs), ...others(activeDevicesMax)]);
    activity.note([heardAt(startMs + 1)]);
    activity.note(others(activeDevicesMax));
    expect(activity.of({ ...d1, deviceId: "gone" }, startMs)).toBeUndefined();
    expect(activity.of(d1, startMs)).toMatchObject({ messages: 2, seenMs: startMs + 1 });
  });
});

test("of a fleet beyond the bound all are kept, if so many devices may be cached", () => {
  const devices = 2 * activeDevicesMax + 1;
  const activity = new DeviceActivity(devices);
  const device = (i: number) => ({ tenantId: "acme", deviceId: `d${i}` });
  activity.note(Array.from({ length: devices }, (_, i) => event(1, { receivedMs: startMs, ...device(i) })));
  expect(activity.of(device(0), startMs)).toMatchObject({ messages: 1 });
});

describe("the list", () => {
  const activity = new DeviceActivity();
  const registry = localRegistry({ path: ":memory:" });
  const ids = Array.from({ length: 2_100 }, (_, i) => `dev-${String(i).padStart(4, "0")}`);
  /** The later its name, the longer it is silent; of the last three nothing was heard since the start. */
  const heard = ids.slice(0, -3);
  const rejects = new RecentRejects(() => {});
  let view: LatestView;
  let list: HeardDevices;
  const clock = simulatedClock();

  beforeEach(async () => {
    await registry.add(ids.map((deviceId) => ({ tenantId: "acme", deviceId, siteId: "s" })));
    activity.note(heard.map((deviceId, i) => heardAt(startMs - i * 1_000, { deviceId })));
    view = {
      get: (asked) =>
        Promise.resolve(
          asked.map((id) => (id.deviceId === "dev-2098" ? ({ ...id, seenMs: 5_000 } as LatestDevice) : null)),
        ),
      seen: () => Promise.resolve({ devices: [], next: null }),
      close() {},
    };
    const latest = {
      view: { ...view, get: (asked: never) => view.get(asked) },
      ttlMs: 1,
      nowMs: () => startMs,
    };
    list = createHeardDevices({ devices: registry, activity, rejects, latest, sources: [], clock });
  });

  test("has the silent first over all pages, each device once", async () => {
    const order: string[] = [];
    let after: SeenDevice | undefined;
    do {
      const page = await list.list({ filter: {}, order: "silent", limit: 500, after });
      order.push(...page.devices.map(({ device }) => device.deviceId));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(order).toEqual([...ids.slice(-3), ...heard.toReversed()]);
  });

  test("walks the registry for one at a time, for nobody who left, and refuses who would wait long", async () => {
    const walked: string[] = [];
    const pages: (() => void)[] = [];
    const devices = {
      list: async ({ match = "" }: { match?: string }) => {
        walked.push(match);
        await new Promise<void>((resolve) => pages.push(resolve));
        return [];
      },
    } as unknown as DeviceStore;
    const latest = { view, ttlMs: 1, nowMs: () => startMs };
    const { list: ask } = createHeardDevices({ devices, activity, rejects, latest, sources: [], clock });
    const gone = new AbortController();
    const silent = { order: "silent", limit: 1 } as const;
    const asked = [
      ask({ ...silent, filter: { match: "first" } }),
      ask({ ...silent, filter: { match: "second" } }),
      ask({ ...silent, filter: { match: "left" }, signal: gone.signal }),
      ask({ ...silent, filter: { match: "late" } }),
    ];
    const ends = Promise.allSettled(asked);
    expect(walked).toEqual(["first"]);
    pages.shift()?.();
    await asked[0];
    await until(() => pages.length > 0);
    expect(walked).toEqual(["first", "second"]);
    gone.abort();
    clock.advance(5_001);
    pages.shift()?.();
    expect((await ends).map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "rejected",
    ]);
    expect(walked).toEqual(["first", "second"]);
    await expect(asked[3]).rejects.toMatchObject({ status: 503 });
  });

  test("tells of devices that were not heard since the start what is known of before", async () => {
    const { devices, earlierUnknown } = await list.list({ filter: {}, order: "silent", limit: 3 });
    expect(devices.map(({ seenMs }) => seenMs)).toEqual([null, 5_000, null]);
    expect(earlierUnknown).toBeNull();
  });

  test("says so if nothing is known of before, and shows what it knows", async () => {
    view.get = () => Promise.reject(new LatestUnavailable("Redis is away"));
    const { devices, earlierUnknown } = await list.list({ filter: {}, order: "silent", limit: 4 });
    expect(devices.map(({ seenMs }) => seenMs)).toEqual([null, null, null, expect.any(Number) as number]);
    expect(earlierUnknown).toBe("Redis is away");
  });

  test("has them by name with their rejects, as a filter asks", async () => {
    const wrong = (reason: string, receivedMs: number) =>
      anEntry({ kind: "reject", reason, tenantId: "acme", deviceId: "dev-0007", receivedMs });
    rejects.note([
      wrong("TOKEN_INVALID", startMs),
      wrong("TOKEN_INVALID", startMs),
      wrong("BAD_JSON", startMs + 5),
    ]);
    const { devices } = await list.list({
      filter: { match: "-000" },
      order: "name",
      limit: 2,
      after: { ...d1, deviceId: "dev-0006", seenMs: 0 },
    });
    expect(devices).toMatchObject([
      { device: { deviceId: "dev-0007" }, rejected: 3, lastReject: "BAD_JSON", lastRejectMs: startMs + 5 },
      { device: { deviceId: "dev-0008" }, rejected: 0, lastReject: null, lastRejectMs: null },
    ]);
  });
});
