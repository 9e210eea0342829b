/**
 * A sink is one file and one line in a list, and so is a source: here both are added to a copy of the sources, which
 * is then checked, tested and run. Nothing but that file and that line is written.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GatewayProcess, startGateway, statsWhen } from "../kit/gateway.ts";

const root = join(import.meta.dir, "../..");
const stubs = join(import.meta.dir, "stubs");

let copy: string;
let env: Record<string, string>;

/** Puts a stub's file in the room and its line in the room's list. */
function add(room: "sink" | "source", list: string, name: string): void {
  cpSync(join(stubs, `${room}.txt`), join(copy, `src/${room}/${name}.ts`));
  const index = join(copy, `src/${room}/index.ts`);
  const text = readFileSync(index, "utf8");
  const line = new RegExp(`(export const ${list} = \\[.*)\\] as const;`);
  expect(text).toMatch(line);
  writeFileSync(
    index,
    `import { ${name} } from "./${name}.ts";\n${text.replace(line, `$1, ${name}] as const;`)}`,
  );
}

const line = (n: number) => `${JSON.stringify({ site_id: "lab-1", metrics: { n } })}\n`;

async function run(...words: string[]): Promise<{ code: number; out: string }> {
  const child = Bun.spawn([process.execPath, ...words], {
    cwd: copy,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out: texts.join("\n") };
}

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), "sluice-lists-"));
  const files = readdirSync(root, { withFileTypes: true }).filter((each) => each.isFile());
  for (const name of ["src", "test/kit", "test/contract", ...files.map(({ name: file }) => file)])
    cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  add("sink", "SINKS", "stub");
  add("source", "SOURCES", "feed");
  mkdirSync(join(copy, "stored"));
  writeFileSync(join(copy, "messages"), line(1) + line(2));
  env = {
    DATA_DIR: join(copy, "data"),
    STUB_SINK: join(copy, "stored"),
    FEED_PATH: join(copy, "messages"),
    BROKER_LISTEN: "127.0.0.1:0",
  };
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe("a sink and a source that are one file and one line each", () => {
  test("compile", async () => {
    expect(await run("check", "--no-script")).toMatchObject({ code: 0 });
  });

  test("are in help, in docs/settings.md and in the sample environment", async () => {
    for (const topic of ["settings", "markdown", "environment"]) {
      const { out } = await run("src/main.ts", "help", topic);
      for (const text of ["Stub sink", "STUB_SINK", "STUB_TIMEOUT_MS", "Source: a stub", "FEED_PATH"])
        expect(out).toContain(text);
    }
  });

  test("are checked, and so are their settings in combination", async () => {
    const { code, out } = await run("src/main.ts", "check");
    expect(out).toMatch(/^stub +ok +writes to .*stored$/m);
    expect(out).toMatch(/^source feed +ok +reads .*messages$/m);
    expect(out).toMatch(/^source broker +ok /m);
    expect(code).toBe(0);
    env["STUB_TIMEOUT_MS"] = "600000";
    const wrong = await run("src/main.ts", "check");
    delete env["STUB_TIMEOUT_MS"];
    expect(wrong).toMatchObject({ code: 78 });
    expect(wrong.out).toContain("STUB_TIMEOUT_MS is longer than a stub's patience");
  });

  describe("run, and", () => {
    let gateway: GatewayProcess;
    beforeAll(async () => {
      const from = { command: [process.execPath, join(copy, "src/main.ts")] };
      gateway = await startGateway(env, join(copy, "data"), from);
    });
    afterAll(() => gateway.kill9());
    const read = async (path: string) => (await fetch(`${gateway.url}${path}`)).text();

    test("are in /stats, where the first source stays the one that was alone before", async () => {
      const stats = await statsWhen(gateway, ({ sinks }) => sinks["stub"]?.ignored === 2);
      expect(stats.sinks["stub"]).toMatchObject({ delivered: 0, spooled: 2, lines: 0 });
      expect(stats.sources.map(({ kind }) => kind)).toEqual(["broker", "feed"]);
      expect(stats.sources[1]).toMatchObject({ kind: "feed", read: 2, unacknowledged: 0 });
      expect(stats["source"]).toMatchObject({ kind: "broker" });
      // The source names the sender, because its topic does not.
      expect(stats.ingest.rejected).toEqual({ UNREGISTERED_DEVICE: 2 });
    });

    test("are in /metrics and /readyz", async () => {
      const metrics = await read("/metrics");
      for (const sample of [
        'sluice_sink_ignored_total{sink="stub"} 2',
        'sluice_sink_lines_total{sink="stub"} 0',
        'sluice_source_unacknowledged{source="feed"} 0',
        'sluice_source_read_total{source="feed"} 2',
      ])
        expect(metrics).toContain(sample);
      const { parts } = JSON.parse(await read("/readyz")) as { parts: { part: string }[] };
      const names = parts.map(({ part }) => part);
      for (const name of ["source broker", "source feed", "sink stub"]) expect(names).toContain(name);
    });

    test("the source gets its mark at the next start, and delivers nothing twice", async () => {
      await gateway.kill9();
      const from = { command: [process.execPath, join(copy, "src/main.ts")] };
      writeFileSync(env["FEED_PATH"] ?? "", line(3), { flag: "a" });
      gateway = await startGateway(env, join(copy, "data"), from);
      const { ingest, sources } = await statsWhen(gateway, (stats) => stats.ingest.received === 3);
      expect([ingest.duplicate, sources[1]?.["read"]]).toEqual([0, 1]);
    });
  });

  test("are tested by the contract suite: the sink without a fixture fails it by name, and passes it with one", async () => {
    const suite = ["test", "test/contract/sinks.test.ts", "-t", "the stub sink"];
    const without = await run(...suite);
    expect(without.code).toBe(1);
    expect(without.out).toContain("the stub sink has no fixture: write");
    cpSync(join(stubs, "sink-fixture.txt"), join(copy, "test/contract/sinks/stub.ts"));
    const within = await run(...suite);
    expect(within.out).toContain("(pass) the stub sink > stores every event once");
    expect(within.code).toBe(0);
  });
});
