import { expect, test } from "bun:test";
import type { DeviceId } from "../../src/core/device.ts";
import { findByDevice } from "../../src/core/registry.ts";
import { aDevice } from "../kit/builders.ts";

test("each device is looked up once, by its ids alone, whatever names it", async () => {
  const asked: (readonly DeviceId[])[] = [];
  const row = aDevice({ tenantId: "acme", deviceId: "press-1" });
  const registry = {
    find(ids: readonly DeviceId[]) {
      asked.push(ids);
      return Promise.resolve([row]);
    },
  };
  const entry = (deviceId: string) => ({ tenantId: "acme", deviceId, payload: "{}", tokenHash: "ab12" });
  const found = await findByDevice(registry, [entry("press-1"), entry("press-2"), entry("press-1")]);
  expect(asked).toEqual([
    [
      { tenantId: "acme", deviceId: "press-1" },
      { tenantId: "acme", deviceId: "press-2" },
    ],
  ]);
  expect([...found]).toEqual([["acme/press-1", row]]);
});
