/** The promises of every registry (src/core/registry.ts), tested on each. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/core/log/log.ts";
import { parseToPrint } from "../../src/core/text/json-digits.ts";
import { openPostgres } from "../../src/store/postgres/postgres-client.ts";
import { localRegistry } from "../kit/stores.ts";
import { createPostgresRegistry } from "../../src/store/postgres/postgres-registry.ts";
import type { Device, NewDevice } from "../../src/core/device.ts";
import type { Registry } from "../../src/core/registry.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";
import { recorder, tells } from "../registry/recorder.ts";

setDefaultTimeout(60_000);

interface Fixture {
  readonly name: string;
  readonly unavailable: string;
  /** A fresh registry, and one of another process on the same store. */
  open(): Promise<{ registry: Registry; other: Registry; stop(): Promise<void> }>;
}

const fixtures: Fixture[] = [
  {
    name: "local",
    unavailable: "",
    // oxlint-disable-next-line typescript/require-await -- the interface is of those that must wait
    async open() {
      const dir = mkdtempSync(join(tmpdir(), "sluice-registry-"));
      const [registry, other] = [0, 1].map(() => localRegistry({ path: join(dir, "local.db") }));
      if (!registry || !other) throw new Error("two were made");
      const stop = async () => {
        await registry.close();
        await other.close();
        rmSync(dir, { recursive: true });
      };
      return { registry, other, stop };
    },
  },
  {
    name: "postgres",
    unavailable: postgresAvailable(),
    async open() {
      const url = await (await sharedPostgres()).createDatabase();
      const db = openPostgres({ url, poolMax: 4, timeoutMs: 20_000 });
      const registry = createPostgresRegistry({ db, log: silentLog });
      const other = createPostgresRegistry({ db, log: silentLog });
      return { registry, other, stop: () => db.close() };
    },
  },
];

for (const fixture of fixtures) {
  const { name, unavailable } = fixture;
  const title =
    unavailable === "" ? `the ${name} registry` : `the ${name} registry (skipped: ${unavailable})`;
  describe.skipIf(unavailable !== "")(title, () => suite(fixture));
}

function suite(fixture: Fixture): void {
  let registry: Registry;
  let other: Registry;
  let stop: () => Promise<void>;
  beforeEach(async () => {
    ({ registry, other, stop } = await fixture.open());
  });
  afterEach(() => stop());

  const device = (deviceId: string, more: Partial<NewDevice> = {}): NewDevice => ({
    tenantId: "acme",
    deviceId,
    siteId: "lab-1",
    tokenHash: "ab".repeat(32),
    ...more,
  });
  const id = (deviceId: string) => ({ tenantId: "acme", deviceId });

  test("a device that moves here brings its previous token along", async () => {
    const previousTokenUntil = "2031-01-02T03:04:05.000Z";
    const moved = device("d1", { previousTokenHash: "cd".repeat(32), previousTokenUntil });
    expect(await registry.add([moved, device("d2"), moved])).toEqual([true, true, false]);
    const found = await registry.find([id("d1"), id("d2")]);
    expect(found.toSorted((a, b) => (a.deviceId < b.deviceId ? -1 : 1))).toEqual([
      expect.objectContaining({
        deviceId: "d1",
        previousTokenHash: "cd".repeat(32),
        previousTokenUntilMs: Date.parse(previousTokenUntil),
      }),
      expect.objectContaining({ deviceId: "d2", previousTokenHash: null, previousTokenUntilMs: null }),
    ]);
  });

  test("finds what is registered, in one call, and nothing else", async () => {
    await registry.add([device("d1"), device("d2", { tokenHash: null, status: "REVOKED" })]);
    const found = await registry.find([
      id("d1"),
      id("none"),
      id("d2"),
      { tenantId: "other", deviceId: "d1" },
    ]);
    expect(found.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))).toEqual([
      {
        tenantId: "acme",
        deviceId: "d1",
        siteId: "lab-1",
        status: "ACTIVE",
        tokenHash: "ab".repeat(32),
        previousTokenHash: null,
        previousTokenUntilMs: null,
      },
      expect.objectContaining({ deviceId: "d2", status: "REVOKED", tokenHash: null }),
    ]);
    expect(await registry.find([])).toEqual([]);
  });

  test("ids of any text are found, and an impossible one spoils nothing", async () => {
    const names = ['quo"te', "back\\slash", "com,ma", "{brace}", "'", "ünï 🌊", "NULL"];
    await registry.add(names.map((name) => device(name)));
    const found = await registry.find([...names, "nul\0"].map(id));
    expect(found.map((d) => d.deviceId).sort()).toEqual([...names].sort());
  });

  test("adding returns which are new, and leaves the others unchanged", async () => {
    expect(await registry.add([device("d1"), device("d2"), device("d1", { siteId: "x" })])).toEqual([
      true,
      true,
      false,
    ]);
    expect(await registry.add([device("d2", { siteId: "x" }), device("d3")])).toEqual([false, true]);
    expect((await registry.get(id("d1")))?.siteId).toBe("lab-1");
    expect((await registry.get(id("d2")))?.siteId).toBe("lab-1");
  });

  test("a device that provisions itself has no token, and an existing one stays unchanged", async () => {
    await registry.add([device("d1")]);
    await registry.provision([
      { tenantId: "acme", deviceId: "d1", siteId: "x" },
      { tenantId: "acme", deviceId: "d2", siteId: "lab-2" },
    ]);
    expect(await registry.get(id("d1"))).toMatchObject({ siteId: "lab-1", tokenSet: true });
    expect(await registry.get(id("d2"))).toMatchObject({
      siteId: "lab-2",
      tokenSet: false,
      status: "ACTIVE",
    });
  });

  test("a record shows everything but the token and its hash", async () => {
    await registry.add([device("d1", { fwVersion: "1.2", metadata: { floor: 3, tags: ["a"] } })]);
    const record = await registry.get(id("d1"));
    expect(record).toMatchObject({
      ...id("d1"),
      siteId: "lab-1",
      status: "ACTIVE",
      tokenSet: true,
      fwVersion: "1.2",
      metadata: { floor: 3, tags: ["a"] },
    });
    expect(Math.abs(Date.parse(record?.provisionedAt ?? "") - Date.now())).toBeLessThan(60_000);
    expect(JSON.stringify(record)).not.toContain("abab");
    expect(await registry.get(id("none"))).toBeUndefined();
  });

  test("metadata keeps all digits of its numbers", async () => {
    const written = '{"of":[12345678901234567890],"iccid":8949020000012345678}';
    const metadata = parseToPrint(written) as Device["metadata"];
    await registry.add([device("d1", { metadata })]);
    const shown = async () => JSON.stringify((await registry.get(id("d1")))?.metadata);
    expect(await shown()).toBe(written);
    await registry.update(id("d1"), { metadata: {} });
    await registry.update(id("d1"), { metadata });
    expect(await shown()).toBe(written);
  });

  test("lists in order, filtered, page by page", async () => {
    const sites = ["lab-1", "lab-2"];
    await registry.add(Array.from({ length: 7 }, (_, i) => device(`d${i}`, { siteId: sites[i % 2] ?? "" })));
    await registry.add([device("d0", { tenantId: "zeta", status: "REVOKED" })]);
    const names = async (filter: object) =>
      (await registry.list({ limit: 100, ...filter })).map((d) => `${d.tenantId}/${d.deviceId}`);
    expect(await names({ tenantId: "acme", siteId: "lab-2" })).toEqual(["acme/d1", "acme/d3", "acme/d5"]);
    expect(await names({ status: "REVOKED" })).toEqual(["zeta/d0"]);
    expect(await names({ match: "0" })).toEqual(["acme/d0", "zeta/d0"]);
    expect(await names({ match: "%" })).toEqual([]);
    expect(await names({ limit: 2 })).toEqual(["acme/d0", "acme/d1"]);
    expect(await names({ limit: 3, after: id("d5") })).toEqual(["acme/d6", "zeta/d0"]);
  });

  test("an update changes what is named and nothing else", async () => {
    await registry.add([device("d1", { fwVersion: "1.2", metadata: { a: 1 } })]);
    expect(await registry.update(id("d1"), { status: "REVOKED" })).toMatchObject({
      status: "REVOKED",
      siteId: "lab-1",
      fwVersion: "1.2",
      metadata: { a: 1 },
      tokenSet: true,
    });
    expect(await registry.update(id("d1"), { fwVersion: null, metadata: {}, siteId: "s" })).toMatchObject({
      status: "REVOKED",
      siteId: "s",
      fwVersion: null,
      metadata: {},
    });
    expect(await registry.update(id("d1"), {})).toMatchObject({ siteId: "s" });
    expect(await registry.update(id("none"), { status: "ACTIVE" })).toBeUndefined();
  });

  test("a rotated token leaves the previous one for its grace, and without grace none", async () => {
    await registry.add([device("d1")]);
    await registry.update(id("d1"), { tokenHash: "cd".repeat(32), graceMs: 60_000 });
    const [kept] = await registry.find([id("d1")]);
    expect(kept).toMatchObject({ tokenHash: "cd".repeat(32), previousTokenHash: "ab".repeat(32) });
    expect(Math.abs((kept?.previousTokenUntilMs ?? 0) - Date.now() - 60_000)).toBeLessThan(30_000);
    await registry.update(id("d1"), { tokenHash: "ef".repeat(32) });
    expect((await registry.find([id("d1")]))[0]).toMatchObject({
      tokenHash: "ef".repeat(32),
      previousTokenHash: null,
      previousTokenUntilMs: null,
    });
  });

  test("a first token has no previous one", async () => {
    await registry.add([device("d1", { tokenHash: null })]);
    await registry.update(id("d1"), { tokenHash: "cd".repeat(32), graceMs: 60_000 });
    const [found] = await registry.find([id("d1")]);
    expect(found).toMatchObject({ previousTokenHash: null, previousTokenUntilMs: null });
  });

  test("a token is its device's, in either spelling of its hash, and one that was rotated away for its grace", async () => {
    const hash = (pair: string) => pair.repeat(32);
    await registry.add([
      device("d1"),
      device("d2", { tokenHash: hash("AC") }),
      device("d3", { tokenHash: hash("ad") }),
      device("d4", { tokenHash: null }),
    ]);
    await registry.update(id("d3"), { tokenHash: hash("ae"), graceMs: 60_000 });
    const late = {
      previousTokenHash: hash("b1"),
      // As a file may have it, which would read as later than now.
      previousTokenUntil: new Date(Date.now() + 14 * 3_600_000 - 1000).toISOString().replace("Z", "+14:00"),
    };
    await registry.add([device("late", { tokenHash: hash("b0"), ...late })]);
    const asked = ["ab", "ac", "ad", "ae", "b0", "b1", "ff"].map(hash);
    const found = await registry.owners(asked);
    expect(found.map(({ tokenHash, deviceId }) => `${tokenHash.slice(0, 2)} ${deviceId}`).sort()).toEqual([
      "ab d1",
      "ac d2",
      "ad d3",
      "ae d3",
      "b0 late",
    ]);
    expect(await registry.owners([])).toEqual([]);
  });

  test("of a token that several devices have, all are named; a device that has it twice, once", async () => {
    await registry.add([device("d1"), device("d2", { tenantId: "beta" }), device("d3", { tokenHash: null })]);
    await registry.update(id("d1"), { tokenHash: "ab".repeat(32), graceMs: 60_000 });
    const found = await registry.owners(["ab".repeat(32)]);
    expect(found.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`).sort()).toEqual([
      "acme/d1",
      "beta/d2",
    ]);
  });

  test("what is removed is gone, and the answer says that it existed", async () => {
    await registry.add([device("d1")]);
    expect(await registry.remove(id("d1"))).toBe(true);
    expect(await registry.remove(id("d1"))).toBe(false);
    expect(await registry.find([id("d1")])).toEqual([]);
  });

  test("settings are written and read back", async () => {
    expect(await registry.settings()).toEqual({});
    await registry.setSetting("MODE", "DEV");
    await registry.setSetting("MODE", "PROD");
    await registry.setSetting("RATE_LIMIT_RPS", "7");
    expect(await registry.settings()).toEqual({ MODE: "PROD", RATE_LIMIT_RPS: "7" });
  });

  test("a watcher is notified of every kind of change by another process, until it stops", async () => {
    const heard = recorder();
    const unwatch = registry.watch(heard.watcher);
    await until(() => heard.calls.includes("restored"));
    const changes = [
      () => other.add([device("d1")]),
      () => other.update(id("d1"), { status: "REVOKED" }),
      () => other.update(id("d1"), { tokenHash: "cd".repeat(32) }),
      () => other.remove(id("d1")),
    ];
    for (const change of changes) {
      heard.calls.length = 0;
      await change();
      await until(() => tells(heard.calls, "acme", "d1"));
    }
    heard.calls.length = 0;
    await other.setSetting("MODE", "DEV");
    await until(() => heard.calls.includes("settings"));
    await unwatch();
    heard.calls.length = 0;
    await other.add([device("d1")]);
    await registry.find([id("d1")]);
    expect(heard.calls).toEqual([]);
  });
}
