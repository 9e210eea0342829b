/** /admin/devices and what a change leaves behind: a forgotten cache row, a line in the audit log, no token anywhere. */
import { Database } from "bun:sqlite";
import { beforeEach, describe, expect, test } from "bun:test";
import postgres from "postgres";
import { maskedIn } from "../../src/core/text/mask.ts";
import { sha256 } from "../kit/builders.ts";
import { type FakeView, fakeView } from "../kit/view.ts";
import { asker, type Reply } from "./client.ts";

let fake: FakeView;
let audited: Record<string, unknown>[];
let ask: ReturnType<typeof asker>;

beforeEach(() => {
  fake = fakeView();
  audited = [];
  ask = asker(fake.view, (line) => void audited.push(line));
});

const d1 = { tenant_id: "acme", device_id: "d1", site_id: "hall-7" };
const shown = {
  ...d1,
  status: "ACTIVE",
  token_set: false,
  provisioned_at: expect.any(String),
  fw_version: null,
  metadata: {},
};
const hash = sha256("tok-some");
const tokenOf = ({ json }: Reply) => (json as { token?: string }).token ?? "";
const idsOf = ({ json }: Reply) =>
  (json as { devices: { device_id: string }[] }).devices.map((d) => d.device_id);
const authOf = async (deviceId: string) => (await fake.registry.find([{ tenantId: "acme", deviceId }]))[0];

describe("create", () => {
  test("with a token made: shown once, and its hash kept", async () => {
    const made = await ask("POST", "/admin/devices", { ...d1, make_token: true });
    expect(made.status).toBe(201);
    expect(tokenOf(made)).toMatch(/^tok-[A-Za-z0-9_-]{32}$/);
    expect(await authOf("d1")).toMatchObject({ tokenHash: sha256(tokenOf(made)) });
    const read = await ask("GET", "/admin/devices/acme/d1");
    expect(read.json).toEqual({ ...shown, token_set: true });
  });

  test("with the hash of one made elsewhere, or with none: no token in the answer", async () => {
    const given = await ask("POST", "/admin/devices", { ...d1, provision_token_hash: hash.toUpperCase() });
    expect(given.json).toEqual({ ...shown, token_set: true });
    expect(await authOf("d1")).toMatchObject({ tokenHash: hash });
    expect((await ask("POST", "/admin/devices", { ...d1, device_id: "d2" })).json).toEqual({
      ...shown,
      device_id: "d2",
    });
  });

  test("an existing device stays unchanged: 409", async () => {
    await ask("POST", "/admin/devices", d1);
    expect(await ask("POST", "/admin/devices", { ...d1, site_id: "hall-8", make_token: true })).toMatchObject(
      { status: 409 },
    );
    expect((await ask("GET", "/admin/devices/acme/d1")).json).toEqual(shown);
  });

  test.each([
    ["an id that is not one level", { ...d1, device_id: "a/b" }, "device_id"],
    ["an id that no URL can name", { ...d1, device_id: ".." }, "no URL can name"],
    ["a control character", { ...d1, site_id: "a\u0000" }, "site_id"],
    ["metadata with U+0000", { ...d1, metadata: { a: ["\u0000"] } }, "metadata"],
    ["metadata with half a pair", { ...d1, metadata: { "\ud800": 1 } }, "metadata"],
    ["metadata with a number that is none", `{"device_id":"d","metadata":{"a":1e400}}`, "metadata"],
    ["no site", { tenant_id: "acme", device_id: "d1" }, "site_id"],
    ["a token in clear", { ...d1, provision_token: "tok-secret" }, "provision_token"],
    ["a hash that is none", { ...d1, provision_token_hash: "tok-secret" }, "provision_token_hash"],
    ["a hash and a token to make", { ...d1, provision_token_hash: hash, make_token: true }, "make_token"],
    ["a status nobody knows", { ...d1, status: "active" }, "status"],
    ["an array", [d1], "object"],
  ])("%s: 422, named, its value not repeated", async (_, body, named) => {
    const refused = await ask("POST", "/admin/devices", body);
    expect(refused).toMatchObject({ status: 422, type: "application/problem+json" });
    expect(refused.text).toContain(named);
    expect(refused.text).not.toContain("tok-secret");
    expect(idsOf(await ask("GET", "/admin/devices"))).toEqual([]);
  });

  test("what is not JSON: 400", async () => {
    expect(await ask("POST", "/admin/devices", "{")).toMatchObject({ status: 400 });
    const latin1 = Buffer.from(JSON.stringify({ ...d1, site_id: "Halle Süd" }), "latin1");
    expect(await ask("POST", "/admin/devices", latin1)).toMatchObject({ status: 400 });
    expect(idsOf(await ask("GET", "/admin/devices"))).toEqual([]);
  });
});

describe("change", () => {
  beforeEach(async () => void (await ask("POST", "/admin/devices", { ...d1, provision_token_hash: hash })));

  test("PATCH changes what it names and leaves the rest", async () => {
    const change = { site_id: "hall-8", fw_version: "2.1", metadata: { a: 1 } };
    const changed = await ask("PATCH", "/admin/devices/acme/d1", change);
    expect(changed.json).toEqual({ ...shown, token_set: true, ...change });
    expect((await ask("PATCH", "/admin/devices/acme/d1", { fw_version: null })).json).toMatchObject({
      site_id: "hall-8",
      fw_version: null,
    });
    expect(await ask("PATCH", "/admin/devices/acme/d1", {})).toMatchObject({ status: 422 });
    expect(await ask("PATCH", "/admin/devices/acme/d1", { provision_token_hash: hash })).toMatchObject({
      status: 422,
    });
  });

  test("metadata that is no object but a number with more digits than a double keeps is refused", async () => {
    const changed = await ask("PATCH", "/admin/devices/acme/d1", '{"metadata":8949020000012345678}');
    expect(changed.status).toBe(422);
  });

  test("metadata keeps all digits of its numbers, in the audit log as well", async () => {
    const changed = await ask(
      "PATCH",
      "/admin/devices/acme/d1",
      '{"metadata":{"iccid":8949020000012345678}}',
    );
    expect(changed.text).toContain('"metadata":{"iccid":8949020000012345678}');
    expect(JSON.stringify(maskedIn(audited.at(-1)))).toContain('"metadata":{"iccid":8949020000012345678}');
  });

  test("revoke and activate", async () => {
    expect((await ask("POST", "/admin/devices/acme/d1/revoke")).json).toMatchObject({ status: "REVOKED" });
    expect((await ask("POST", "/admin/devices/acme/d1/activate")).json).toMatchObject({ status: "ACTIVE" });
  });

  test("rotate with grace: a new token, and the old one stays valid that long", async () => {
    const rotated = await ask("POST", "/admin/devices/acme/d1/rotate-token", { grace_seconds: 60 });
    const row = await authOf("d1");
    expect(row).toMatchObject({ tokenHash: sha256(tokenOf(rotated)), previousTokenHash: hash });
    expect(row?.previousTokenUntilMs).toBeGreaterThan(Date.now());
  });

  test("rotate to a token made elsewhere, without grace: the old one ends, none is shown", async () => {
    const next = sha256("tok-next");
    const rotated = await ask("POST", "/admin/devices/acme/d1/rotate-token", { provision_token_hash: next });
    expect(tokenOf(rotated)).toBe("");
    expect(await authOf("d1")).toMatchObject({ tokenHash: next, previousTokenHash: null });
  });

  test("remove", async () => {
    expect((await ask("DELETE", "/admin/devices/acme/d1")).json).toEqual({ status: "device removed" });
    expect(await ask("GET", "/admin/devices/acme/d1")).toMatchObject({ status: 404 });
  });

  test("each makes the gateway forget the device, and leaves who and what in the audit log, but no token and no hash", async () => {
    fake.forgotten.length = 0;
    audited.length = 0;
    const path = "/admin/devices/acme/d1";
    const rotated = await ask("POST", `${path}/rotate-token`, { grace_seconds: 5 });
    await ask("PATCH", path, { status: "REVOKED" });
    await ask("POST", `${path}/activate`);
    await ask("DELETE", path);
    await ask("DELETE", path);
    expect(fake.forgotten).toEqual(Array(5).fill("acme/d1"));
    const line = { from: "127.0.0.1", tenant: "acme", device: "d1", status: 200 };
    expect(audited).toEqual([
      { ...line, action: "devices.rotate_token", grace_seconds: 5, made_here: true },
      { ...line, action: "devices.update", change: { status: "REVOKED" } },
      { ...line, action: "devices.activate" },
      { ...line, action: "devices.remove" },
      { ...line, action: "devices.remove", status: 404 },
    ]);
    expect(JSON.stringify(audited)).not.toContain(tokenOf(rotated));
    expect(JSON.stringify(audited)).not.toContain(sha256(tokenOf(rotated)));
  });

  test.each([
    ["GET", ""],
    ["PATCH", ""],
    ["DELETE", ""],
    ["POST", "/revoke"],
    ["POST", "/activate"],
    ["POST", "/rotate-token"],
  ])("%s of an unknown device%s: 404", async (method, word) => {
    const body = method === "PATCH" ? { site_id: "s" } : method === "POST" ? {} : undefined;
    expect(await ask(method, `/admin/devices/acme/nobody${word}`, body)).toMatchObject({
      status: 404,
      type: "application/problem+json",
    });
  });
});

describe("list", () => {
  beforeEach(async () => {
    const ids = ["a1", "a2", "a3", "b1", "b2"];
    await fake.registry.add(
      ids.map((deviceId) => ({ tenantId: "acme", deviceId, siteId: `site-${deviceId[0]}` })),
    );
    await fake.registry.add([{ tenantId: "beta", deviceId: "a1", siteId: "site-a", status: "REVOKED" }]);
  });

  test("page by page: every device once, in order", async () => {
    const found: string[] = [];
    let next: string | null = "";
    while (next !== null) {
      const page: Reply = await ask(
        "GET",
        `/admin/devices?limit=2${next && `&after=${encodeURIComponent(next)}`}`,
      );
      expect(page.status).toBe(200);
      found.push(...idsOf(page));
      ({ next } = page.json as { next: string | null });
    }
    expect(found).toEqual(["a1", "a2", "a3", "b1", "b2", "a1"]);
  });

  test("filters", async () => {
    expect(idsOf(await ask("GET", "/admin/devices?tenant=beta"))).toEqual(["a1"]);
    expect(idsOf(await ask("GET", "/admin/devices?site=site-b"))).toEqual(["b1", "b2"]);
    expect(idsOf(await ask("GET", "/admin/devices?status=REVOKED"))).toEqual(["a1"]);
    expect(idsOf(await ask("GET", "/admin/devices?match=2"))).toEqual(["a2", "b2"]);
  });

  test.each(["limit=0", "limit=1001", "limit=x", "after=a1", "tennant=acme"])("%s: 400", async (query) => {
    expect(await ask("GET", `/admin/devices?${query}`)).toMatchObject({ status: 400 });
  });
});

test("a local store on a full disk: 503, and nothing was changed", async () => {
  await ask("POST", "/admin/devices", d1);
  fake.registry.update = () => Promise.resolve().then(writeWithoutRoom);
  const { status, text } = await ask("POST", "/admin/devices/acme/d1/revoke");
  expect([status, text]).toEqual([503, expect.stringContaining("is full, so nothing was changed")]);
});

test("a registry that answers with an error, such as a right that is lacking: 503, and nothing was changed", async () => {
  const denied = new postgres.PostgresError({
    severity: "ERROR",
    code: "42501",
    message: "permission denied",
  } as never);
  fake.registry.update = () => Promise.reject(new Error("changing a device", { cause: denied }));
  fake.registry.list = () => Promise.reject(new Error("listing devices", { cause: denied }));
  for (const [method, path] of [
    ["POST", "/admin/devices/acme/d1/revoke"],
    ["GET", "/admin/devices"],
  ] as const) {
    const { status, text } = await ask(method, path);
    expect([status, text]).toEqual([
      503,
      expect.stringContaining("answered with an error, and what it was asked was not done"),
    ]);
  }
});

/** @throws as SQLite does on a full disk */
function writeWithoutRoom(): never {
  const db = new Database(":memory:");
  db.run("PRAGMA max_page_count = 1");
  db.run("CREATE TABLE t (x)");
  throw new Error("there was room");
}

test("a registry that does not answer: 503, the device is forgotten all the same, and only the log quotes the database", async () => {
  const { registry } = fake;
  await ask("POST", "/admin/devices", d1);
  await registry.close();
  fake.forgotten.length = 0;
  for (const [method, path, body] of [
    ["GET", "/admin/devices", undefined],
    ["GET", "/admin/devices/export", undefined],
    ["POST", "/admin/devices/acme/d1/revoke", undefined],
    ["GET", "/admin/settings", undefined],
    ["PUT", "/admin/settings/MODE", { value: "DEV" }],
  ] as const) {
    const reply = await ask(method, path, body);
    expect(reply).toMatchObject({ status: 503, type: "application/problem+json" });
    expect(reply.text).not.toContain("closed");
    // What was only read has not changed.
    expect([path, reply.text.includes("whether a change was made")]).toEqual([path, method !== "GET"]);
  }
  expect(fake.forgotten).toEqual(["acme/d1"]);
  expect(audited.filter(({ action }) => action === "devices.revoke")).toMatchObject([
    { status: 503, tenant: "acme", device: "d1" },
  ]);
});
