/** Which URL is which place, and which is none. */
import { expect, test } from "bun:test";
import { Refused } from "../../../src/source/http/answers.ts";
import { idempotencyKeyOf, routeOf, tokenOf } from "../../../src/source/http/requests.ts";

const body = Buffer.from("{}");
/** The topics of what a request to this URL brings. */
function topicsAt(url: string | undefined, method = "POST"): string[] {
  const route = routeOf({ url, method });
  expect(route.isBatch).toBe(false);
  return [...route.sent(body, 8192)].map(({ topic }) => topic);
}

function statusOf(work: () => unknown): number | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof Refused) return error.status;
    throw error;
  }
  return undefined;
}

test.each([
  ["/ingest/v1/tenant/acme/device/d1/telemetry", "tenant/acme/device/d1/telemetry"],
  ["/ingest/v1/tenant/acme/device/d1/telemetry?to=us/them", "tenant/acme/device/d1/telemetry"],
  ["http://sluice:8080/ingest/v1/tenant/acme/device/d1/telemetry", "tenant/acme/device/d1/telemetry"],
  ["HTTPS://sluice/ingest/v1/tenant/a/device/d%C3%A9/t", "tenant/a/device/dé/t"],
  ["/ingest/v1/topic/zigbee2mqtt/lamp", "zigbee2mqtt/lamp"],
  ["/ingest/v1/topic/a//b/", "a//b/"],
  ["/ingest/v1/topic/http://a/b", "http://a/b"],
  ["/ingest/v1/topic/%24SYS/batch", "$SYS/batch"],
])("%s is a message on %s", (url, topic) => {
  expect(topicsAt(url)).toEqual([topic]);
});

test.each([
  undefined,
  "",
  "/",
  "/ingest/v1",
  "/ingest/v1/",
  "/ingest/v1batch",
  "/ingest/v2/batch",
  "/before/ingest/v1/batch",
  "//sluice/ingest/v1/batch",
  "ftp://sluice/ingest/v1/batch",
  "/sent/by/http://sluice/ingest/v1/batch",
  "/ingest/v1/batch/",
  "/ingest/v1/batch/more",
  "/ingest/v1/Batch",
  "/ingest/v1/topic",
  "/ingest/v1/topic/",
  "/ingest/v1/topic//",
  "/ingest/v1/tenant/acme/device/d1",
  "/ingest/v1/tenant/acme/device/d1/",
  "/ingest/v1/tenant/acme/device/d1/telemetry/",
  "/ingest/v1/tenant/acme/device/d1/telemetry/more",
  "/ingest/v1/tenant/acme/gateway/d1/telemetry",
  "/ingest/v1/site/acme/device/d1/telemetry",
])("%s is no place for messages", (url) => {
  expect(statusOf(() => topicsAt(url))).toBe(404);
});

test("a batch has one place, and messages are sent to places with POST alone", () => {
  expect(routeOf({ url: "/ingest/v1/%62atch?now", method: "POST" })).toMatchObject({
    isBatch: true,
    path: "/ingest/v1/batch",
  });
  for (const method of ["GET", "PUT", "post", undefined])
    expect(statusOf(() => routeOf({ url: "/ingest/v1/batch", method }))).toBe(405);
  expect(statusOf(() => routeOf({ url: "/elsewhere", method: "GET" }))).toBe(404);
  expect(statusOf(() => topicsAt("/ingest/v1/topic/%ff"))).toBe(400);
});

test("a topic that its URL names is known before the body; a device's has an address besides", () => {
  const byTopic = routeOf({ url: "/ingest/v1/topic/a/b", method: "POST" });
  expect(byTopic.topic).toBe("a/b");
  const byDevice = routeOf({ url: "/ingest/v1/tenant/a/device/b%2Fc/t", method: "POST" });
  expect(byDevice.topic).toBeUndefined();
  expect([...byDevice.sent(body, 8192)]).toMatchObject([
    { address: { tenantId: "a", deviceId: "b/c", msgType: "t" }, payload: body },
  ]);
});

test("a message of a batch is placed by the names in it, and a number is one too", () => {
  const { sent } = routeOf({ url: "/ingest/v1/batch", method: "POST" });
  const names = { tenant_id: "acme", device_id: 17, msg_type: true };
  expect([...sent(Buffer.from(JSON.stringify([names])), 8192)]).toEqual([
    {
      topic: "tenant/acme/device/17/",
      address: { tenantId: "acme", deviceId: "17", msgType: "" },
      payload: Buffer.from(JSON.stringify(names)),
    },
  ]);
});

test("a number that a double cannot hold is a name to its last digit", () => {
  const { sent } = routeOf({ url: "/ingest/v1/batch", method: "POST" });
  const line = Buffer.from('{"device_id":89490200001234567891}');
  expect([...sent(line, 8192)]).toMatchObject([{ address: { deviceId: "89490200001234567891" } }]);
});

test.each([
  [{ authorization: "Bearer abc" }, "abc"],
  [{ authorization: "bearer   abc  " }, "abc"],
  [{ authorization: "Bearer abc", "x-provision-token": "other" }, "abc"],
  [{ "x-provision-token": "abc" }, "abc"],
  [{ authorization: "Basic abc", "x-provision-token": "other" }, "other"],
  [{ authorization: "Bearer a b" }, undefined],
  [{ authorization: "My Bearer abc" }, undefined],
  [{ authorization: "Bearer " }, undefined],
  [{ "x-provision-token": "" }, undefined],
  [{ "x-provision-token": ["a", "b"] }, undefined],
  [{}, undefined],
])("the token of %j is %j", (headers, token) => {
  expect(tokenOf({ headers })).toBe(token);
});

test("an Idempotency-Key has 1 to 255 characters", () => {
  const keyOf = (key: string | string[] | undefined) =>
    idempotencyKeyOf({ headers: { "idempotency-key": key } });
  expect(keyOf(undefined)).toBeNull();
  expect(keyOf("k")).toBe("k");
  expect(keyOf("k".repeat(255))).toBe("k".repeat(255));
  for (const key of ["", "k".repeat(256), ["a", "b"]]) expect(statusOf(() => keyOf(key))).toBe(400);
});
