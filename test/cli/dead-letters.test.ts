/** `sluice dead-letters …` on the spool itself if no gateway runs, and through a running gateway. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../kit/command.ts";
import { loadConfig } from "../../src/config/index.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { createGateway, type Gateway } from "../../src/gateway.ts";
import { Spool } from "../../src/spool/spool.ts";
import { event } from "../contract/entries.ts";
import { defaultSpoolSettings, readAll } from "../kit/spool.ts";

let env: Record<string, string>;
let directory: string;
let gateway: Gateway | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-cli-letters-"));
  env = {
    DATA_DIR: directory,
    GATEWAY_ID: "test",
    HTTP_LISTEN: "127.0.0.1:0",
    BROKER_LISTEN: "127.0.0.1:0",
    INFLUXDB_URL: `file://${directory}/lines`,
    ADMIN_TOKEN: "a-token-of-some-length",
  };
  const spool = open();
  for (let n = 1; n <= 3; n++)
    spool.deadLetters.put(n < 3 ? "influx" : "kafka", "e", event(n, { deviceId: `d${n}` }), `no ${n}`);
  spool.close();
});
afterEach(async () => {
  await gateway?.stop();
  gateway = undefined;
  rmSync(directory, { recursive: true, force: true });
});

function open(): Spool {
  return new Spool({ dataDir: directory, settings: defaultSpoolSettings, clock: systemClock });
}

async function start(): Promise<string[]> {
  const loaded = loadConfig(env);
  if (!("config" in loaded)) throw new Error(loaded.mistakes.join());
  gateway = await createGateway({ config: loaded.config, log: silentLog });
  await gateway.start();
  return ["--gateway", `http://${gateway.httpAddress()}`];
}

const sluice = (...words: string[]) => runCommand(["dead-letters", ...words], { env });

describe.each([
  ["without a gateway", false],
  ["through a running gateway", true],
])("%s", (_, runs) => {
  let where: string[];
  beforeEach(async () => {
    where = runs ? await start() : [];
  });

  test("list is a table for people and JSON for scripts, by sink and device", async () => {
    const { out } = await sluice("list", ...where);
    expect(out.split("\n")[0]).toMatch(/^id +sink +refused +kind +tenant +device +why$/);
    expect(out).toContain("no 3");
    const rows = JSON.parse((await sluice("list", "--sink", "influx", "--json", ...where)).out) as {
      id: number;
    }[];
    expect(rows.map(({ id }) => id)).toEqual([1, 2]);
    expect(JSON.parse((await sluice("list", "--device", "d2", "--json", ...where)).out)).toMatchObject([
      { id: 2 },
    ]);
  });

  test("show prints the entry and the downstream system's words", async () => {
    expect((await sluice("show", "2", ...where)).out).toMatch(/why +no 2\n/);
    expect(JSON.parse((await sluice("show", "2", "--json", ...where)).out)).toMatchObject({
      id: 2,
      payload: expect.stringContaining('"n":2'),
    });
    expect(await sluice("show", "77", ...where)).toMatchObject({ code: 1, out: "" });
    expect(await sluice("show", "x", ...where)).toMatchObject({ code: 2, out: "" });
  });

  test("replay delivers again what has a sink, and says what stays and why", async () => {
    expect((await sluice("replay", "--all", "--dry-run", ...where)).out).toContain(
      "2 of 3 dead letters would be",
    );
    const { code, out } = await sluice("replay", "--all", ...where);
    expect(code).toBe(1);
    expect(out).toContain("2 of 3 dead letters replayed, 1 stays");
    expect(out).toContain("there is no sink kafka");
    expect(JSON.parse((await sluice("replay", "--all", "--json", ...where)).out)).toMatchObject({
      matched: 1,
      done: 0,
      kept: [{ id: 3 }],
    });
    if (gateway) {
      const stats = gateway.view.stats();
      expect(stats).toMatchObject({ balanced: true, ingest: { received: 0, replayed: 2 } });
      return;
    }
    const spool = open();
    expect(readAll(spool).map(({ returned }) => returned?.target)).toEqual(["influx", "influx"]);
    spool.close();
  });

  test("discard works by id, and discards nothing without a selection", async () => {
    expect(await sluice("discard", ...where)).toMatchObject({ code: 2, out: "" });
    expect(await sluice("discard", "--ids", "1,x", ...where)).toMatchObject({ code: 2, out: "" });
    expect((await sluice("discard", "--ids", "1,3", ...where)).out).toContain(
      "2 of 2 dead letters discarded",
    );
    expect(JSON.parse((await sluice("list", "--json", ...where)).out)).toMatchObject([{ id: 2 }]);
  });

  test("an id that is not there is told, with exit code 1", async () => {
    const { code, out, err } = await sluice("replay", "--ids", "1,77,1", ...where);
    expect([code, out]).toEqual([1, "1 of 1 dead letters replayed, 0 stay\n"]);
    expect(err).toContain("1 of the ids is not there");
    expect((await sluice("discard", "--ids", "77,78", ...where)).code).toBe(1);
    expect((await sluice("discard", "--ids", "2", ...where)).code).toBe(0);
  });

  test("times may be given as ages, and what is no time is a usage error", async () => {
    expect(JSON.parse((await sluice("list", "--since", "5m", "--json", ...where)).out)).toHaveLength(3);
    expect(JSON.parse((await sluice("list", "--until", "5m", "--json", ...where)).out)).toHaveLength(0);
    expect((await sluice("list", "--since", "noon", ...where)).code).toBe(2);
  });
});

test("while a gateway has the spool, the command uses its address even without --gateway", async () => {
  await start();
  env["HTTP_LISTEN"] = gateway?.httpAddress() ?? "";
  expect((await sluice("list", "--json")).out).toContain("no 3");
});
