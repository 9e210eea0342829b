/** The local store of a site that ran on it, if its file is gone or empty: it is not begun anew in silence. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../kit/command.ts";
import { scratch, startInProcess, stopAll } from "../kit/inprocess.ts";

afterEach(stopAll);

const env = (dataDir: string) => ({ DATA_DIR: dataDir, GATEWAY_ID: "test" });

/** A site that has run. @returns its data directory */
async function used(): Promise<string> {
  const dataDir = scratch();
  const { gateway } = await startInProcess(env(dataDir));
  await gateway.stop();
  return dataDir;
}

test.each([
  ["missing", (file: string) => rmSync(file)],
  ["empty", (file: string) => truncateSync(file)],
])(
  "%s: the gateway does not start and says what to do, until migrate has made an empty one",
  async (_, lose) => {
    const dataDir = await used();
    const file = join(dataDir, "local.db");
    lose(file);
    const start = startInProcess(env(dataDir));
    const said = await start.then(
      () => "it started",
      (error: Error) => error.message,
    );
    expect(said).toContain(`${file} is missing or empty although this site ran on it: put it, or a backup`);
    const { code } = await runCommand(["migrate"], { env: env(dataDir) });
    expect([code, existsSync(file)]).toEqual([0, true]);
    await (await startInProcess(env(dataDir))).gateway.stop();
  },
);

test("a first start that was killed before it took anything leaves what the next one takes", async () => {
  const dataDir = scratch();
  await Bun.write(join(dataDir, "local.db"), "");
  await (await startInProcess(env(dataDir))).gateway.stop();
});
