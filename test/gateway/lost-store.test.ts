/** The store that a site ran on, if its file is gone or empty, or DATABASE_URL is: no other one is begun in silence. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../kit/command.ts";
import { type InProcess, registered, scratch, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);
afterEach(stopAll);

const env = (dataDir: string) => ({ DATA_DIR: dataDir, GATEWAY_ID: "test" });

/** A site that has run. @returns its data directory */
async function used(): Promise<string> {
  const dataDir = scratch();
  const { gateway } = await startInProcess(env(dataDir));
  await gateway.stop();
  return dataDir;
}

/** What a start with these settings says. */
const startOf = (dataDir: string) =>
  startInProcess(env(dataDir)).then(
    () => "it started",
    (error: Error) => error.message,
  );

/** Its row of `sluice check`, which says the same before the start. */
const checked = async (dataDir: string) =>
  (await runCommand(["check"], { env: env(dataDir) })).out
    .split("\n")
    .find((row) => row.startsWith("local "));

test.each([
  ["missing", (file: string) => rmSync(file)],
  ["empty", (file: string) => truncateSync(file)],
])(
  "%s: the gateway does not start and says what to do, until migrate has made an empty one",
  async (_, lose) => {
    const dataDir = await used();
    const file = join(dataDir, "local.db");
    lose(file);
    expect(await checked(dataDir)).toContain(`FAILED  ${file} is missing or empty`);
    expect(await startOf(dataDir)).toContain(
      `${file} is missing or empty although this site ran on it: put it, or a backup`,
    );
    const { code } = await runCommand(["migrate"], { env: env(dataDir) });
    expect([code, existsSync(file)]).toEqual([0, true]);
    await (await startInProcess(env(dataDir))).gateway.stop();
  },
);

test("a backup beside the log of a local store that was not closed is not merged with it", async () => {
  const dataDir = await used();
  const file = join(dataDir, "local.db");
  const db = new Database(file);
  db.run("VACUUM INTO ?", [`${file}.backup`]);
  db.close();
  renameSync(`${file}.backup`, file);
  writeFileSync(`${file}-wal`, "of the other");
  const words = `${file}-wal belongs to another file than the ${file} that is there`;
  expect(await checked(dataDir)).toContain(`FAILED  ${words}`);
  expect(await startOf(dataDir)).toContain(words);
  rmSync(`${file}-wal`);
  await (await startInProcess(env(dataDir))).gateway.stop();
});

test("a first start that was killed before it took anything leaves what the next one takes", async () => {
  const dataDir = scratch();
  await Bun.write(join(dataDir, "local.db"), "");
  await (await startInProcess(env(dataDir))).gateway.stop();
});

test("without the DATABASE_URL that it ran on it does not start, until migrate has made a local store", async () => {
  const dataDir = scratch();
  const { gateway, source, acknowledged } = await startInProcess({
    ...env(dataDir),
    DATABASE_URL: "postgres://sluice@127.0.0.1:1/site",
  });
  source.give(telemetry("d1", 1));
  await acknowledged();
  await gateway.stop();
  expect(await checked(dataDir)).toContain("FAILED  this site ran on PostgreSQL");
  expect(await startOf(dataDir)).toStartWith(
    "this site ran on PostgreSQL, and DATABASE_URL is not set: set it",
  );
  expect((await runCommand(["migrate"], { env: env(dataDir) })).code).toBe(0);
  expect(await checked(dataDir)).toContain("ok");
  expect(await startOf(dataDir)).toBe("it started");
});

test("a DATABASE_URL under which nothing was taken may be taken back", async () => {
  const dataDir = scratch();
  const tried = { ...env(dataDir), DATABASE_URL: "postgres://sluice@127.0.0.1:1/site" };
  await (await startInProcess(tried)).gateway.stop();
  expect(await startOf(dataDir)).toBe("it started");
});

const unavailable = postgresAvailable();
test.skipIf(unavailable !== "")(
  `in an empty database it makes no registry, which would know no device: what comes waits until the right one is back ${unavailable}`,
  async () => {
    const server = await sharedPostgres();
    const [right, wrong] = [await server.createDatabase(), await server.createDatabase()];
    const settings = { ...env(scratch()), AUTH_CACHE_TTL_SECONDS: "0", REGISTRY_WAIT_MS: "100" };
    const run = (url: string) => startInProcess({ ...settings, DATABASE_URL: url });
    const delivered = (site: InProcess) => site.stats().sinks["postgres"]?.delivered;
    const first = await run(right);
    await first.gateway.view.devices.add(registered(["d1"]));
    first.source.give(telemetry("d1", 1));
    await until(() => delivered(first) === 1);
    await first.gateway.stop();
    const second = await run(wrong);
    second.source.give(telemetry("d1", 2));
    await until(() => second.source.settledCount() === 1);
    expect(second.rejected()).toEqual({});
    expect(String(second.stats().sinks["postgres"]?.["trouble"])).toContain("has no device_registry");
    await second.gateway.stop();
    // Nor does a command, that the gateway would take for its own.
    for (const words of [["devices", "list"], ["migrate"]]) {
      const { code, err } = await runCommand(words, { env: { ...settings, DATABASE_URL: wrong } });
      expect([code, err]).toEqual([1, expect.stringContaining("has no device_registry")]);
    }
    const third = await run(right);
    await until(() => delivered(third) === 2);
    await third.gateway.stop();
    const anew = await runCommand(["migrate", "--anew"], { env: { ...settings, DATABASE_URL: wrong } });
    expect([anew.code, anew.out]).toEqual([0, expect.stringContaining("created table device_registry")]);
  },
);
