/** `sluice check` and the disk of DATA_DIR. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { executable, sluice, startGateway } from "../kit/gateway.ts";

async function disk(env: Record<string, string>) {
  let out = "";
  const code = await execute(["check", "--json"], {
    env,
    stdout: (text) => void (out += text),
    stderr: () => {},
    signal: new AbortController().signal,
    createLog: () => silentLog,
  });
  const { probes } = JSON.parse(out) as { probes: { part: string; ok: boolean; detail: string }[] };
  return { code, ...probes.find(({ part }) => part === "disk") };
}

test("a disk without the room that the spool must leave is no good, whether the directory is there yet or not", async () => {
  for (const DATA_DIR of [tmpdir(), join(tmpdir(), `sluice-not-there-${process.pid}`)]) {
    expect(await disk({ DATA_DIR })).toMatchObject({
      ok: true,
      detail: expect.stringMatching(/ can be written and has [\d.]+ \w+ free(; but it is on .*)?$/),
    });
    expect(await disk({ DATA_DIR, SPOOL_MIN_FREE_BYTES: "9007199254740991" })).toMatchObject({
      code: 1,
      ok: false,
      detail: expect.stringMatching(/ has [\d.]+ \w+ free and must keep 8192\.0 TiB /),
    });
  }
});

test("another program's file in place of the spool is no good, a damaged one is for the spool's own tools to tell", async () => {
  const DATA_DIR = mkdtempSync(join(tmpdir(), "sluice-check-spool-"));
  const path = join(DATA_DIR, "spool.db");
  const db = new Database(path);
  db.run("CREATE TABLE other (id)");
  db.close();
  const detail = expect.stringContaining(`${path}: it is a database, but not the one that belongs here`);
  expect(await disk({ DATA_DIR })).toMatchObject({ code: 1, ok: false, detail });
  writeFileSync(path, "no database at all ".repeat(500));
  expect(await disk({ DATA_DIR })).toMatchObject({ ok: true });
  rmSync(DATA_DIR, { recursive: true });
});

test("a spool whose file or write-ahead log is gone is no good, for no gateway would start", async () => {
  const DATA_DIR = mkdtempSync(join(tmpdir(), "sluice-check-gone-"));
  const detailed = (words: string) => ({ code: 1, ok: false, detail: expect.stringContaining(words) });
  writeFileSync(join(DATA_DIR, "spool.state"), "open\n");
  expect(await disk({ DATA_DIR })).toMatchObject(detailed("spool.db is missing or empty"));
  new Database(join(DATA_DIR, "spool.db")).run("CREATE TABLE groups (last)");
  expect(await disk({ DATA_DIR })).toMatchObject(detailed("spool.db-wal is missing"));
  rmSync(DATA_DIR, { recursive: true });
});

test.skipIf(!existsSync(executable))(
  "a check writes nothing: a container with a read-only root has no directory for temporary files",
  async () => {
    const DATA_DIR = mkdtempSync(join(tmpdir(), "sluice-check-writes-"));
    const away = {
      INFLUXDB_URL: "http://127.0.0.1:9",
      REDIS_URL: "redis://127.0.0.1:9",
      KAFKA_BOOTSTRAP_SERVERS: "127.0.0.1:9",
    };
    const env = { DATA_DIR, TMPDIR: "/nowhere", HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0" };
    expect(await sluice(env, "check")).toMatchObject({ code: 0, err: "" });
    const { code, out } = await sluice({ ...env, ...away }, "check", "--json");
    expect(code).toBe(1);
    expect(out).toContain('"part":"influx","ok":false');
    expect(readdirSync(DATA_DIR)).toEqual([]);
    rmSync(DATA_DIR, { recursive: true });
  },
);

const small = mkdtempSync(join(tmpdir(), "sluice-check-inodes-"));
const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", small]).success;
afterAll(() => {
  Bun.spawnSync(["umount", "-l", small]);
  rmSync(small, { recursive: true, force: true });
});

test.skipIf(!mounted)("a disk without an inode is no good, however much of it is free", async () => {
  const detail = expect.stringContaining("no inode left for a new file (`df -i` shows it)");
  expect(await disk({ DATA_DIR: small })).toMatchObject({ code: 1, ok: false, detail });
});

test.skipIf(!mounted || !existsSync(executable))(
  "a disk that forgets, and one that may promise more than it keeps, are told of by the check and at the start",
  async () => {
    const DATA_DIR = mkdtempSync(join(tmpdir(), "sluice-check-forgets-"));
    Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", DATA_DIR]);
    const why = "is on tmpfs, which is empty after a restart of the host: put DATA_DIR on a disk";
    try {
      expect(await disk({ DATA_DIR })).toMatchObject({ ok: true, detail: expect.stringContaining(why) });
      const gateway = await startGateway({ BROKER_LISTEN: "127.0.0.1:0" }, DATA_DIR);
      expect(gateway.log()).toContain(`DATA_DIR ${why}`);
      await gateway.stop();
    } finally {
      Bun.spawnSync(["umount", "-l", DATA_DIR]);
      rmSync(DATA_DIR, { recursive: true });
    }
  },
);

const layers = mkdtempSync(join(tmpdir(), "sluice-check-layers-"));
const [lower, upper, work, container] = ["lower", "upper", "work", "merged"].map((name) => {
  mkdirSync(join(layers, name), { mode: 0o700 });
  return join(layers, name);
});
const dirs = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
const isLayered = Bun.spawnSync(["mount", "-t", "overlay", "-o", dirs, "overlay", `${container}`]).success;
afterAll(() => {
  Bun.spawnSync(["umount", "-l", `${container}`]);
  rmSync(layers, { recursive: true, force: true });
});

test.skipIf(!isLayered)("a container's own layer, which goes with it, is told of by the check", async () => {
  const detail = expect.stringContaining("is on an overlay, which may be gone with its container");
  expect(await disk({ DATA_DIR: `${container}` })).toMatchObject({ ok: true, detail });
});
