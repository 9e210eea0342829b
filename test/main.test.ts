/** The process itself: nobody else can read what it leaves on disk, and it survives a log that fails. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, closeSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Spool } from "../src/spool/spool.ts";
import { simulatedClock } from "./kit/clock.ts";
import { freePort } from "./kit/port.ts";
import { defaultSpoolSettings, emptyRecord, entries } from "./kit/spool.ts";
import { makeCertificates } from "./kit/tls.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sluice-main-"));
  chmodSync(dataDir, 0o755);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

test("files in a data directory that others may enter are closed to them", async () => {
  const main = join(import.meta.dir, "..", "src", "main.ts");
  const child = Bun.spawn(["sh", "-c", `umask 022; exec "$0" "$1" run`, process.execPath, main], {
    env: { ...process.env, DATA_DIR: dataDir, HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0" },
    stdout: "pipe",
    stderr: "ignore",
  });
  let log = "";
  for await (const chunk of child.stdout) {
    log += Buffer.from(chunk).toString();
    if (log.includes('"started"')) break;
  }
  const open = readdirSync(dataDir).filter((name) => (statSync(join(dataDir, name)).mode & 0o007) !== 0);
  const files = readdirSync(dataDir);
  child.kill();
  expect(await child.exited).toBe(0);
  expect(files).toEqual(expect.arrayContaining(["spool.db", "spool.db-wal", "local.db", "auth-cache.db"]));
  expect(open).toEqual([]);
}, 60_000);

test("a log that cannot be written does not end the process", async () => {
  const main = join(import.meta.dir, "..", "src", "main.ts");
  const port = await freePort();
  const child = Bun.spawn(["sh", "-c", `exec "$0" "$1" run > /dev/full`, process.execPath, main], {
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      HTTP_LISTEN: `127.0.0.1:${port}`,
      BROKER_LISTEN: "127.0.0.1:0",
      LOG_STATS_EVERY_SECONDS: "1",
    },
    stderr: "ignore",
  });
  const uptime = () =>
    fetch(`http://127.0.0.1:${port}/stats`).then(
      async (answer) => ((await answer.json()) as { uptime_seconds: number }).uptime_seconds,
      () => -1,
    );
  // By then two lines of stats were not written.
  while (child.exitCode === null && (await uptime()) < 2) await Bun.sleep(100);
  expect(child.exitCode).toBeNull();
  child.kill();
  expect(await child.exited).toBe(0);
}, 60_000);

test("a Ctrl-C that comes twice, from the terminal and passed on by a parent, is one", async () => {
  const main = join(import.meta.dir, "..", "src", "main.ts");
  const child = Bun.spawn([process.execPath, main, "demo"], {
    stdout: "pipe",
    stderr: "ignore",
  });
  let told = "";
  let pressed = false;
  for await (const chunk of child.stdout) {
    told += Buffer.from(chunk).toString();
    if (pressed || !told.includes(" s: sent")) continue;
    pressed = true;
    child.kill("SIGINT");
    await Bun.sleep(10);
    child.kill("SIGINT");
  }
  expect(told).toContain("The books balance");
  expect(await child.exited).toBe(0);
}, 60_000);

test("a proxy of the environment is not asked for the gateway on this host", async () => {
  const here = '{"status":"ok"}';
  using gateway = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(here) });
  const main = join(import.meta.dir, "..", "src", "main.ts");
  const asked = async (env: Record<string, string>) => {
    const child = Bun.spawn([process.execPath, main, "health"], {
      env: { ...process.env, DATA_DIR: dataDir, HTTP_LISTEN: `127.0.0.1:${gateway.port}`, ...env },
      stdout: "pipe",
      stderr: "ignore",
    });
    return (await new Response(child.stdout).text()).trim();
  };
  const nowhere = "http://127.0.0.1:1";
  const proxies = { HTTP_PROXY: nowhere, http_proxy: nowhere };
  expect(await asked({ ...proxies, NO_PROXY: "", no_proxy: "" })).toBe(here);
  expect(await asked({ ...proxies, NO_PROXY: "example.com", no_proxy: "" })).toBe(here);
  expect(await asked({ ...proxies, NO_PROXY: "", no_proxy: "*" })).toBe(here);
}, 60_000);

test("certificates are checked although the environment tells the runtime not to", async () => {
  const certificates = makeCertificates();
  const main = join(import.meta.dir, "..", "src", "main.ts");
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: Bun.file(certificates.serverCert), key: Bun.file(certificates.serverKey) },
    fetch: () => new Response(null, { status: 204, headers: { "x-influxdb-version": "1.8.10" } }),
  });
  const child = Bun.spawn([process.execPath, main, "check"], {
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      INFLUXDB_URL: `https://localhost:${server.port}`,
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
    },
    stdout: "pipe",
    stderr: "ignore",
  });
  const said = await child.stdout.text();
  certificates.remove();
  expect(said).toContain("no CA that we trust has signed it");
}, 60_000);

test("one Ctrl-C ends a command that is one piece of work, such as an export that nobody reads", async () => {
  const spool = new Spool({ dataDir, settings: defaultSpoolSettings, clock: simulatedClock() });
  spool.append(entries(3_000), emptyRecord);
  spool.close();
  const main = join(import.meta.dir, "..", "src", "main.ts");
  const pipe = join(dataDir, "pipe");
  Bun.spawnSync(["mkfifo", pipe]);
  // For both, so that it is there before a reader is.
  const unread = openSync(pipe, "r+");
  const child = Bun.spawn([process.execPath, main, "spool", "export"], {
    env: { ...process.env, DATA_DIR: dataDir },
    stdout: unread,
    stderr: "pipe",
  });
  // It has the spool, and its first lines fill the pipe.
  for await (const _ of child.stderr) break;
  await Bun.sleep(500);
  child.kill("SIGINT");
  await Bun.sleep(2_000);
  const { signalCode } = child;
  child.kill("SIGKILL");
  closeSync(unread);
  expect(signalCode).toBe("SIGINT");
}, 60_000);
