/** The demo in the test's own process: embedded broker, gateway, local store and HTTP are the real ones. */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demo } from "../../src/cli/demo/index.ts";
import { trial } from "./simulate-context.ts";

interface Result {
  readonly balanced: boolean;
  readonly sent: number;
  readonly acknowledged: number;
  readonly outcomes: Record<string, { expected: number; counted: number; stored: number }>;
}

const dirs: string[] = [];
afterAll(() => {
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});
function newDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "sluice-demo-test-"));
  dirs.push(dir);
  return dir;
}

async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (let tries = 0; tries < 1000; tries++) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await Bun.sleep(20);
  }
  throw new Error("waited in vain");
}

/** The store, once the gateway has put events into it. */
function openStore(dir: string): Promise<Database> {
  return until(() => {
    if (!existsSync(join(dir, "local.db"))) return false;
    const db = new Database(join(dir, "local.db"));
    db.run("PRAGMA busy_timeout = 5000");
    const table = db.query("SELECT 1 FROM sqlite_schema WHERE name = 'raw_events'").get();
    if (table && db.query("SELECT 1 FROM raw_events LIMIT 1").get()) return db;
    db.close();
    return false;
  });
}

describe("sluice demo", () => {
  test("ends with balanced books despite bad messages, and leaves nothing behind", async () => {
    const { run, out, err } = trial();
    expect(await run(demo, { seconds: "3", rate: "300", faults: "all=0.01", json: true })).toBe(0);
    const result = JSON.parse(out.join("")) as Result;
    expect(result.balanced).toBeTrue();
    expect(result.sent).toBeGreaterThan(300);
    expect(result.acknowledged).toBe(result.sent);
    expect(Object.keys(result.outcomes).length).toBeGreaterThan(10);
    const stored = Object.values(result.outcomes).reduce((sum, outcome) => sum + outcome.stored, 0);
    expect(stored).toBe(result.sent);
    const dir = /data in (\S+)/.exec(err.join(""))?.[1] ?? "";
    expect(dir).toContain("sluice-demo-");
    expect(existsSync(dir)).toBeFalse();
  });

  test("prints its HTTP address, a live line and the table", async () => {
    const { run, out, interrupt } = trial();
    const ended = run(demo, { rate: "100" });
    const address = await until(() => /(http:\S+)\/ +the page/.exec(out.join(""))?.[1]);
    expect(await (await fetch(`${address}/stats`)).json()).toMatchObject({ gateway_id: "demo" });
    await until(() =>
      /\d s: sent \d+ \(\d+ msg\/s\), accepted \d+, rejected \d+, spool \d+\n/.test(out.join("")),
    );
    interrupt();
    expect(await ended).toBe(0);
    expect(out.join("")).toMatch(/outcome +sent +counted +stored\nevent +(\d+) +\1 +\1\n/);
    expect(out.join("")).toContain("The books balance");
  });

  test("whoever ends it before its first message is not told that the books do not balance", async () => {
    const { run, out, interrupt } = trial();
    interrupt();
    expect(await run(demo, {})).toBe(1);
    expect(out.join("")).toContain("Nothing was sent");
    expect(out.join("")).not.toContain("NOT balance");
  });

  test("ends with 1 if a row is missing from raw_events", async () => {
    const dir = newDir();
    const { run, out, interrupt } = trial();
    const ended = run(demo, { dataDir: dir, rate: "100", faults: "none" });
    const db = await openStore(dir);
    db.run("DELETE FROM raw_events WHERE id = (SELECT min(id) FROM raw_events)");
    db.close();
    interrupt();
    expect(await ended).toBe(1);
    expect(out.join("")).toMatch(/event .*<- differs/);
    expect(out.join("")).toContain("do NOT balance");
  });

  test("a port in use is an error, and leaves nothing behind", async () => {
    using taken = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const temporary = newDir();
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = temporary;
    const failure = await trial()
      .run(demo, { port: String(taken.port) })
      .catch((error: unknown) => error);
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    expect(failure).toBeInstanceOf(Error);
    expect((failure as Error).message).toContain(String(taken.port));
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("keeps a given directory, balances there a second time, and writes no token into it", async () => {
    const dir = newDir();
    for (const seed of ["1", "2"]) {
      const { run, out } = trial();
      const code = await run(demo, { dataDir: dir, seconds: "1", rate: "200", seed, json: true });
      expect(JSON.parse(out.join(""))).toMatchObject({ balanced: true });
      expect(code).toBe(0);
    }
    const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
    expect(files.length).toBeGreaterThan(1);
    for (const { parentPath, name } of files) {
      const bytes = Buffer.from(await Bun.file(join(parentPath, name)).bytes());
      expect([name, bytes.includes("tok-")]).toEqual([name, false]);
    }
  });
});
