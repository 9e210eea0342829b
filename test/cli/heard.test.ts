/** When devices were heard is asked of a gateway a page at a time, and no further than what is shown. */
import { expect, test } from "bun:test";
import { heardOf } from "../../src/cli/devices/heard.ts";
import type { GatewayClient } from "../../src/cli/gateway-client.ts";
import { trial } from "./simulate-context.ts";

test("of a fleet of many pages only those up to the last device that is shown are read", async () => {
  let pages = 0;
  const client: Pick<GatewayClient, "request"> = {
    request() {
      const device_id = `d${++pages}`;
      const row = { tenant_id: "acme", device_id, site_id: "s", status: "ACTIVE", token_set: true };
      const more = { provisioned_at: null, fw_version: null, metadata: {}, last_seen: null, messages: pages };
      const heard = { messages_per_minute: 0, rejected: 0, last_reject: null, last_reject_at: null };
      const next = pages < 9 ? device_id : null;
      return Promise.resolve({ devices: [{ ...row, ...more, ...heard }], next, earlier_unknown: null });
    },
  };
  const last = { tenantId: "acme", deviceId: "d2" };
  const heard = await heardOf(trial().context, client as GatewayClient, {}, last);
  expect([pages, heard?.(last).messages]).toEqual([2, 2]);
});
