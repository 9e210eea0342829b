/**
 * Names that devices give themselves, on an operator's terminal and in a spreadsheet: shown, never obeyed. And
 * registries that move.
 */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { runCommand } from "../kit/command.ts";
import { systemClock } from "../../src/core/clock.ts";
import { table } from "../../src/cli/report.ts";
import { csvLine, csvRecords } from "../../src/admin/bulk/csv.ts";
import { Spool } from "../../src/spool/spool.ts";
import { event } from "../contract/entries.ts";
import { defaultSpoolSettings, emptyRecord } from "../kit/spool.ts";

let directory: string;
let isOutputTerminal = false;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-terminal-"));
});
afterEach(() => {
  isOutputTerminal = false;
  rmSync(directory, { recursive: true, force: true });
});

const dataDir = (store = "data") => join(directory, store);

const sluiceIn = (store: string, ...words: string[]) =>
  runCommand(words, {
    env: { DATA_DIR: dataDir(store), GATEWAY_ID: "test", HTTP_LISTEN: "127.0.0.1:1" },
    isOutputTerminal,
  });
const sluice = (...words: string[]) => sluiceIn("data", ...words);

/** Clears the screen, sets the title, writes over the line, the same with C1's one character, turns the text around. */
const evil = [
  "\u001b[2J",
  "\u001b]0;title\u0007",
  "\rover",
  "\u009b31m",
  "\u202eback",
  "a\nrow",
  "\u007f",
  "\t",
];
// oxlint-disable-next-line no-control-regex
const obeyed = /[\0-\t\v-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

describe("a terminal", () => {
  beforeEach(async () => {
    await sluice("migrate");
    const db = new Database(join(dataDir(), "local.db"));
    const spool = new Spool({
      dataDir: dataDir(),
      settings: defaultSpoolSettings,
      clock: systemClock,
    });
    for (const [n, name] of evil.entries()) {
      db.query(
        `INSERT INTO device_registry (tenant_id, device_id, site_id, status, fw_version) VALUES ('acme', ?, ?, 'ACTIVE', ?)`,
      ).run(`d${n}${name}`, name, name);
      const entry = event(n + 1, { topic: `tenant/acme/device/${name}/t`, deviceId: name, siteId: name });
      spool.deadLetters.put("influx", "e", entry, `no ${name}`);
      spool.append([{ ...entry, payload: JSON.stringify({ metrics: { raw: "\u009b31m" } }) }], emptyRecord);
    }
    spool.close();
    db.close();
  });

  const shows: string[][] = [
    ["devices", "list"],
    ["devices", "list", "--json"],
    ["devices", "show", "acme", `d0${evil[0]}`],
    ["devices", "show", "acme", `d3${evil[3]}`, "--json"],
    ["devices", "show", "acme", `none${evil[0]}`],
    ["devices", "export"],
    ["dead-letters", "list"],
    ["dead-letters", "list", "--json"],
    ["dead-letters", "show", "1"],
    ["dead-letters", "show", "4", "--json"],
    ["spool", "status"],
    ["spool", "export"],
  ];

  test.each(shows)("obeys nothing that `%s %s %s` prints", async (...words) => {
    isOutputTerminal = true;
    const { out, err } = await sluice(...words);
    expect(out + err).not.toMatch(obeyed);
    expect(out + err).not.toBe("");
  });

  test("a line break in a name makes no other row", async () => {
    const { out } = await sluice("devices", "list");
    expect(out.trim().split("\n")).toHaveLength(evil.length + 1);
    expect(out).toContain(String.raw`a\nrow`);
  });

  test("JSON is escaped and stays what it was", async () => {
    const rows = JSON.parse((await sluice("devices", "list", "--json")).out) as { site_id: string }[];
    expect(rows.map((row) => row.site_id).sort()).toEqual(evil.toSorted());
  });

  test("an export into a file keeps every byte", async () => {
    const { out } = await sluice("spool", "export");
    expect(out).toContain("\u009b31m");
    const lines = out.trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { site_id: string }).site_id)).toEqual(evil);
  });
});

describe("a spreadsheet", () => {
  async function* once(text: string) {
    yield text;
  }

  test("runs nothing, and import reads what export wrote", async () => {
    const cell = fc.oneof(
      fc.constantFrom("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "'=1", "''=1", "'", "'a", "\t=1", "＝1"),
      fc.string({ unit: "binary" }),
      fc.stringMatching(/^['=+\-@",\n]{0,4}$/),
    );
    const row = fc.array(cell, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(row, async (cells) => {
        const text = csvLine(cells);
        const read = [];
        for await (const record of csvRecords(once(text), 10_000)) read.push(record.cells);
        expect(read).toEqual([cells]);
        expect(csvLine(cells.map((it) => it.replaceAll(/[",\r\n]/g, "")))).not.toMatch(/(^|,)[=+\-@\t]/);
      }),
    );
  });

  test("a fleet of odd names goes out and in unchanged", async () => {
    const file = join(directory, "fleet.ndjson");
    const names = ["=cmd|calc!A0", "'=1", "-5", "@x", "'quoted", 'say "hi", there'];
    const lines = names.map((name) => JSON.stringify({ tenant_id: "acme", device_id: name, site_id: name }));
    writeFileSync(file, lines.join("\n"));
    expect((await sluice("devices", "import", file)).code).toBe(0);
    const { out } = await sluice("devices", "export", "--format", "csv");
    expect(out).toContain("acme,'=cmd|calc!A0,'=cmd|calc!A0,");
    writeFileSync(join(directory, "fleet.csv"), out);
    expect((await sluiceIn("other", "devices", "import", join(directory, "fleet.csv"))).code).toBe(0);
    const ids = JSON.parse((await sluiceIn("other", "devices", "list", "--json")).out) as {
      device_id: string;
      site_id: string;
    }[];
    expect(ids.map((it) => it.device_id).sort()).toEqual(names.toSorted());
    expect(ids.every((it) => it.device_id === it.site_id)).toBe(true);
  });
});

describe("a registry that moves", () => {
  test.each(["csv", "ndjson"])(
    "as %s: tokens stay valid, the previous one of a rotation too",
    async (format) => {
      await sluice("devices", "add", "acme", "d1", "--site", "s", "--metadata", '{"a":1}');
      await sluice("devices", "rotate-token", "acme", "d1", "--grace", "3600");
      await sluice("devices", "add", "acme", "d2", "--site", "s", "--firmware", "7");
      await sluice("devices", "revoke", "acme", "d2");
      const file = join(directory, `moved.${format}`);
      const { out } = await sluice("devices", "export", "--format", format, "--with-hashes");
      writeFileSync(file, out);
      const imported = await sluiceIn("other", "devices", "import", file);
      expect([imported.code, imported.err]).toEqual([0, expect.not.stringContaining("warning")]);
      expect(rowsIn("other")).toEqual(rowsIn("data"));
      expect((await sluice("devices", "export", "--format", format)).out).not.toContain(
        String(rowsIn("data")[0]?.["provision_token_hash"]),
      );
    },
  );

  test("no gateway gives hashes", async () => {
    const words = ["devices", "export", "--with-hashes", "--gateway", "http://127.0.0.1:1"];
    expect((await sluice(...words)).code).toBe(2);
  });
});

function rowsIn(store: string): Record<string, unknown>[] {
  const db = new Database(join(dataDir(store), "local.db"), { readonly: true });
  const rows = db
    .query<Record<string, unknown>, []>("SELECT * FROM device_registry ORDER BY device_id")
    .all()
    .map((row) => ({ ...row, provisioned_at: null }));
  db.close();
  return rows;
}

test("a very long name pushes nothing off the screen but in its own row", () => {
  const lines = table([
    ["device", "site"],
    ["d".repeat(256), "s"],
    ["d2", "s"],
  ]).split("\n");
  expect(lines.map((line) => line.length)).toEqual([66, 259, 63, 0]);
});
