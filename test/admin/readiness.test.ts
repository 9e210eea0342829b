/** What /readyz says before anything was tried. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endLater, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { startProxy } from "../kit/proxy.ts";
import { redisAvailable, startRedis } from "../kit/redis.ts";
import { until } from "../kit/until.ts";

afterEach(stopAll);

test("a gateway whose disk has no room is not ready, also before the first message comes", async () => {
  const full = await startInProcess({ SPOOL_MIN_FREE_BYTES: "9007199254740991" });
  const detail = expect.stringMatching(/iB free and must keep 8192\.0 TiB \(SPOOL_MIN_FREE_BYTES\)/);
  expect(full.gateway.view.ready()).toContainEqual({ part: "intake", ok: false, detail });
  const remedy = expect.stringContaining("free some on it");
  expect(full.stats().attention).toMatchObject({ level: "critical", detail, remedy });
  const { gateway } = await startInProcess();
  expect(gateway.view.ready()).toContainEqual({ part: "intake", ok: true, detail: "takes messages" });
});

test("a part in order is listed too: what is not listed keeps the beginning of its last trouble", async () => {
  const { gateway } = await startInProcess();
  const kinds = gateway.view.ready().map(({ part }) => part.split(" ")[0]);
  expect(new Set(kinds)).toEqual(new Set(["source", "clock", "intake", "spool", "registry", "sink", "dead"]));
});

const failed = mkdtempSync(join(tmpdir(), "sluice-failed-disk-"));
const mount = (...words: string[]) => Bun.spawnSync(["mount", ...words]).success;
const mountable = mount("-t", "tmpfs", "tmpfs", failed);
afterAll(() => {
  if (mountable) Bun.spawnSync(["umount", "-l", failed]);
  rmSync(failed, { recursive: true, force: true });
});

test.skipIf(!mountable)(
  "a gateway whose file system turned read-only is not ready, also before a message comes",
  async () => {
    const data = join(failed, "data");
    const { gateway, stats } = await startInProcess({ DATA_DIR: data });
    // What is open stays so, as after an error; who opens a file anew finds that it cannot be written.
    mount("--bind", data, data);
    mount("-o", "remount,bind,ro", data);
    endLater(() => Bun.spawnSync(["umount", "-l", data]));
    const detail = expect.stringMatching(/^the spool's file system has failed \(EROFS.*see dmesg$/);
    expect(gateway.view.ready()).toContainEqual({ part: "intake", ok: false, detail });
    expect(stats().attention).toMatchObject({ level: "critical", detail });
  },
);

test("a gateway whose spool was moved away is not ready, also before a message comes", async () => {
  const { gateway, dataDir } = await startInProcess();
  renameSync(join(dataDir, "spool.db"), join(dataDir, "moved"));
  const detail = expect.stringContaining("spool.db was moved, removed or replaced while this gateway runs");
  expect(gateway.view.ready()).toContainEqual({ part: "intake", ok: false, detail });
  renameSync(join(dataDir, "moved"), join(dataDir, "spool.db"));
  expect(gateway.view.ready()).toContainEqual({ part: "intake", ok: true, detail: "takes messages" });
});

test("of a database that was away from the start on nobody says that it answers", async () => {
  const { gateway } = await startInProcess({ DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" });
  const registry = () => gateway.view.ready().find(({ part }) => part === "registry")?.detail ?? "";
  await until(() => registry().includes("ECONNREFUSED"));
  expect(registry()).toStartWith("was not asked yet, and nothing tells of its changes: 127.0.0.1:1 refuses");
});

test("a sink whose server hangs from the start on is not ready, also before that is known", async () => {
  const server = createServer(() => {}).listen(0, "127.0.0.1");
  await once(server, "listening");
  endLater(() => server.close());
  const { port } = server.address() as AddressInfo;
  const url = `postgres://nobody@127.0.0.1:${port}/none`;
  const { gateway } = await startInProcess({ DATABASE_URL: url, PG_TIMEOUT_MS: "3000" });
  const detail = "has not answered yet since the start";
  expect(gateway.view.ready()).toContainEqual({ part: "sink postgres", ok: false, detail });
});

test("of a sink nobody says that it delivers before it did", async () => {
  const { gateway, source, acknowledged } = await startInProcess({ INFLUXDB_URL: "http://127.0.0.1:1" });
  const sink = (name: string) => gateway.view.ready().find(({ part }) => part === `sink ${name}`)?.detail;
  const nothing = Array(2).fill("has had nothing to deliver since the start");
  await until(() => Bun.deepEquals(["local", "influx"].map(sink), nothing));
  await gateway.view.devices.add(registered(["dev-0001"]));
  source.give(telemetry("dev-0001", 1));
  await acknowledged();
  await until(() => sink("local") === "delivers" && (sink("influx") ?? "").includes("127.0.0.1:1"));
});

test.skipIf(redisAvailable() !== "")(
  "of a Redis that lacks values until it is filled it is said",
  async () => {
    const server = await startRedis();
    endLater(() => server.stop());
    const proxy = await startProxy({ port: server.port });
    endLater(() => proxy.stop());
    const { gateway, source, stats } = await startInProcess({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    const sink = () => gateway.view.ready().find(({ part }) => part === "sink redis");
    // A filling takes some round trips.
    proxy.delay(500);
    await gateway.view.devices.add(registered(["dev-0001"]));
    source.give(telemetry("dev-0001", 1));
    await until(() => stats().attention.text === "Sink redis lacks values");
    const reason = stats().attention.detail ?? "";
    expect(reason).toContain("holds nothing of this gateway yet: filling it");
    expect(sink()).toMatchObject({ ok: true, detail: expect.stringContaining(`; ${reason}`) });
    proxy.delay(0);
    await until(() => stats().attention.text === "Working" && sink()?.detail === "delivers");
  },
);
