/** `sluice spool …` as people and scripts see it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Books } from "../../src/intake/books.ts";
import { runCommand } from "../kit/command.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { Spool } from "../../src/spool/spool.ts";
import { event, reject } from "../contract/entries.ts";
import { parseLines } from "../kit/lineparser.ts";
import { defaultSpoolSettings, settledTo } from "../kit/spool.ts";

let directory: string;
let dataDir: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-cli-spool-"));
  dataDir = join(directory, "data");
  mkdirSync(dataDir);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const sluice = (...words: string[]) => sluiceWith({}, ...words);

const sluiceWith = (env: Record<string, string>, ...words: string[]) =>
  runCommand(["spool", ...words], { env: { DATA_DIR: dataDir, GATEWAY_ID: "test", ...env } });

function open(): Spool {
  return new Spool({ dataDir, settings: defaultSpoolSettings, clock: systemClock });
}

function fill(...groups: (readonly Entry[])[]): void {
  const spool = open();
  const books = new Books(new Map());
  for (const group of groups) {
    for (const entry of group) {
      books.receive();
      books.count(entry);
    }
    spool.append(group, { books: books.toKeep(0) });
  }
  spool.setCursor("postgres", settledTo(2));
  spool.setCursor("influx", settledTo(3, { detours: new Map([["telemetry_acme", { seq: 2, waiting: 1 }]]) }));
  spool.close();
}

function damage(text: string): void {
  const at = readFileSync(join(dataDir, "spool.db")).indexOf(text);
  expect(at).toBeGreaterThan(0);
  writeSync(openSync(join(dataDir, "spool.db"), "r+"), "#", at);
}

const three = () => [event(0), event(0, { payload: '{"seq":2,"metrics":{"n":2.50}}' }), reject(0)];

describe("sluice spool", () => {
  test("status says how far each sink has come, also while a gateway has the spool", async () => {
    fill(three(), [event(0)]);
    const spool = open();
    const { code, out } = await sluice("status");
    expect(code).toBe(0);
    expect(out).toContain("in use by a gateway");
    expect(out).toMatch(/entries +4 in 2 groups, seq 1 to 4/);
    expect(out).toMatch(/postgres +2 /);
    expect(out).toContain("influx telemetry_acme");
    spool.close();
    const json = JSON.parse((await sluice("status", "--json")).out) as Record<string, unknown>;
    expect(json).toMatchObject({ in_use: false, head: 4, entries: 4, books: { received: 4, accepted: 3 } });
    expect(json["sinks"]).toMatchObject([
      { sink: "influx", waiting: 2 },
      { sink: "postgres", waiting: 2 },
    ]);
  });

  test.each(["verify", "repair", "export", "compact"])("%s refuses a spool in use", async (tool) => {
    fill(three());
    const spool = open();
    const { code, out, err } = await sluice(tool);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^error: a gateway, or another such command, has the spool .* stop it first/m);
    spool.close();
  });

  test("what the disk has above its floor is all the room there is, however much the spool may hold", async () => {
    fill(three());
    const room = async (SPOOL_MIN_FREE_BYTES: string) => {
      const { out } = await sluiceWith(
        { SPOOL_MIN_FREE_BYTES, SPOOL_MAX_BYTES: "1000TiB" },
        "status",
        "--json",
      );
      return JSON.parse(out) as { room_bytes: number; disk_free_bytes: number };
    };
    const { room_bytes: bytes, disk_free_bytes: free } = await room("1MiB");
    expect(bytes).toBe(free - 2 ** 20);
    expect(await room("1000TiB")).toMatchObject({ room_bytes: 0 });
  });

  test.each(["status", "verify", "repair", "export", "compact"])(
    "%s says that there is no spool, and where",
    async (tool) => {
      const { code, err } = await sluice(tool);
      expect(code).toBe(1);
      expect(err).toContain("there is no spool");
    },
  );

  test("verify is 0 for a sound spool, and 1 with the seqs that are damaged; repair says what it could not keep", async () => {
    fill(three(), [event(0, { payload: '{"seq":4,"marker":1}' })], [event(0)]);
    expect(await sluice("verify")).toMatchObject({ code: 0, out: expect.stringContaining("sound") });
    damage('"marker":1');
    const found = await sluice("verify");
    expect(found).toMatchObject({ code: 1 });
    expect(found.out).toMatch(/damaged: seq 4 to 4 \(1 entry\): .*checksum/);
    expect(JSON.parse((await sluice("verify", "--json")).out)).toMatchObject({
      damaged: [{ from: 4, to: 4 }],
    });
    const done = await sluice("repair");
    expect(done.code).toBe(0);
    expect(done.out).toContain("kept 4 entries in 2 groups; could not keep 1 entry");
    expect(done.out).toMatch(/lost: seq 4 to 4/);
    expect(await sluice("verify")).toMatchObject({ code: 0 });
    expect((await sluice("repair")).out).toContain("nothing to repair");
  });

  test("export writes NDJSON with the payload's own digits", async () => {
    fill(three());
    const { code, out, err } = await sluice("export");
    expect(code).toBe(0);
    expect(err).toContain("3 lines");
    const lines = out.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { seq: number }).seq)).toEqual([1, 2, 3]);
    expect(lines[1]).toContain('"payload":{"seq":2,"metrics":{"n":2.50}}}');
    expect((await sluice("export", "--sink", "postgres")).out.trimEnd().split("\n")).toHaveLength(1);
    expect((await sluice("export", "--tenant", "nobody")).out).toBe("");
  });

  test("export writes line protocol that a strict parser reads, and names what has none", async () => {
    const wrong = event(0, { payload: '{"metrics":{"bad\\\\name":1}}' });
    fill(three(), [wrong]);
    const output = join(directory, "lines.lp");
    const { code, err } = await sluice("export", "--format", "lp", "--output", output);
    expect(code).toBe(1);
    expect(err).toContain("seq 4 has no line");
    const text = readFileSync(output, "utf8");
    expect(parseLines(text)).toHaveLength(2);
    expect(text).toMatch(/^telemetry,tenant_id=acme,device_id=d1,site_id=lab-1 seq=0i,n=0 /);
    expect((await sluice("export", "--format", "lp", "--tenant", "acme")).out).toMatch(
      /^telemetry,device_id=d1/,
    );
    expect((await sluice("export", "--output", output)).err).toContain("is there already");
    expect(readFileSync(output, "utf8")).toBe(text);
  });

  test("an export that is ended before its end leaves no file that looks whole, and what lies there is no other's to remove", async () => {
    fill(three(), [event(0, { payload: '{"metrics":{"bad\\\\name":1}}' })]);
    const output = join(directory, "lines.lp");
    writeFileSync(`${output}.part`, "of one that was killed");
    const refused = await sluice("export", "--output", output);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(`remove ${output}.part`)]);
    expect(readFileSync(`${output}.part`, "utf8")).toBe("of one that was killed");
    expect(existsSync(output)).toBe(false);
    rmSync(`${output}.part`);
    const words = ["spool", "export", "--format", "lp", "--output", output];
    const seen: boolean[] = [];
    const stderr = (text: string) =>
      void (text.startsWith("seq 4 has no line") && seen.push(existsSync(output)));
    await runCommand(words, { env: { DATA_DIR: dataDir, GATEWAY_ID: "test" }, stderr });
    expect(seen).toEqual([false]);
    expect(parseLines(readFileSync(output, "utf8"))).toHaveLength(2);
    expect(readdirSync(directory)).not.toContain("lines.lp.part");
  });

  test.each([
    ["auto", 1n],
    ["questdb", 1_000n],
    ["victoriametrics", 1_000_000n],
  ])(
    "export writes line protocol as the sink does to %s: integers, and no reading that overwrites another",
    async (api, stepNs) => {
      const same = event(1, { payload: '{"seq":1,"metrics":{"count":7,"n":1}}' });
      fill([same, { ...same, payload: '{"seq":2,"metrics":{"count":8,"n":2}}' }]);
      const env = { INFLUX_INTEGER_FIELDS: "seq,count", INFLUXDB_API: api };
      const { out } = await sluiceWith(env, "export", "--format", "lp");
      const [first = "", second = ""] = out.trimEnd().split("\n");
      expect(first).toMatch(/ seq=1i,count=7i,n=1 (\d+)$/);
      expect(second).toMatch(/ seq=2i,count=8i,n=2 (\d+)$/);
      const timeOf = (line: string) => BigInt(line.split(" ").at(-1) ?? "");
      expect(timeOf(second) - timeOf(first)).toBe(stepNs);
    },
  );

  test.each(["victoriametrics", "questdb"])(
    "export writes line protocol with all that was held, also what %s does not take",
    async (api) => {
      fill([event(1, { payload: '{"seq":1,"metrics":{"a.b":1,"c\\"d":2,"state":"on"}}' })]);
      const { code, out } = await sluiceWith({ INFLUXDB_API: api }, "export", "--format", "lp");
      expect(code).toBe(0);
      expect(out).toContain(' seq=1i,a.b=1,c"d=2,state="on" ');
    },
  );

  test("compact says what it gave back", async () => {
    fill(three());
    expect(JSON.parse((await sluice("compact", "--json")).out)).toEqual({
      bytes_before: expect.any(Number),
      bytes_after: expect.any(Number),
    });
    expect(await sluice("verify")).toMatchObject({ code: 0 });
  });
});
