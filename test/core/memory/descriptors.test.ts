/**
 * A process without descriptors does not blame other systems: PostgreSQL, MQTT and HTTP are not said to have refused.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";

setDefaultTimeout(60_000);

const source = join(import.meta.dir, "../../../src");

/** Tries each system with all descriptors taken, then with some released; prints the errors. */
const script = `
  import { closeSync, openSync } from "node:fs";
  import { createServer, connect } from "node:net";
  import { explain } from "${source}/core/log/log.ts";
  import { describeFailure } from "${source}/source/mqtt/words.ts";
  import { openPostgres } from "${source}/store/postgres/postgres-client.ts";
  const server = createServer(() => {});
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await fetch("http://127.0.0.1:1").catch(() => {}); // starts what Bun needs for HTTP
  const db = openPostgres({ url: "postgres://u@127.0.0.1:" + port + "/d", poolMax: 2, timeoutMs: 2000 });
  const none = openPostgres({ url: "postgres://u@127.0.0.1:1/d", poolMax: 2, timeoutMs: 2000 });
  const sides = {
    postgres: () => db.query("asking", (sql) => sql\`select 1\`),
    socket: () => new Promise((resolve, reject) => connect(port, "127.0.0.1").on("connect", resolve).on("error", reject)),
    mqtt: () => sides.socket().catch((error) => { throw describeFailure(error, "mqtt://b"); }),
    http: () => fetch("http://127.0.0.1:" + port, { signal: AbortSignal.timeout(5000) }),
    well: () => none.query("asking", (sql) => sql\`select 1\`),
  };
  const taken = [];
  const said = {};
  try { for (;;) taken.push(openSync("/dev/null", "r")); } catch {}
  for (const name of ["postgres", "socket", "mqtt", "http"]) said[name] = await sides[name]().then(() => "", explain);
  for (const fd of taken) closeSync(fd);
  said.well = await sides.well().then(() => "", explain);
  process.stdout.write(JSON.stringify(said));
  process.exit(0);`;

test("an error says that this process has no descriptor left, and blames no server", async () => {
  const child = Bun.spawn(["sh", "-c", 'ulimit -n 200; exec "$0" -e "$1"', process.execPath, script], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect([await child.exited, err]).toEqual([0, ""]);
  const said = JSON.parse(out) as Record<string, string>;
  for (const side of ["postgres", "socket", "mqtt", "http"])
    expect([side, said[side]]).toEqual([side, expect.stringContaining("no file descriptor left (EMFILE)")]);
  expect(said["well"]).toContain("ECONNREFUSED");
  expect(said["well"]).not.toContain("descriptor");
});
