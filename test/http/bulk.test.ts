/** Import and export of devices: CSV and NDJSON, line by line. */
import { beforeEach, describe, expect, test } from "bun:test";
import { csvLine, csvRecords, lines } from "../../src/admin/bulk/csv.ts";
import type { DeviceStore } from "../../src/core/device.ts";
import { RegistryError } from "../../src/admin/registry-error.ts";
import { sha256 } from "../kit/builders.ts";
import { type FakeView, fakeView } from "../kit/view.ts";
import { asker } from "./client.ts";

let fake: FakeView;
let ask: ReturnType<typeof asker>;
beforeEach(() => {
  fake = fakeView();
  ask = asker(fake.view);
});

const ndjson = "application/x-ndjson";
const csv = "text/csv";
const hash = sha256("tok-some");
const nothing = { read: 0, added: 0, without_token: 0, existing: 0, wrong: 0, remarks: [], tokens: [] };
const load = async (text: string, type = ndjson, query = "") =>
  ask("POST", `/admin/devices/import${query}`, text, type);

async function* pieces(text: string, size: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

async function all<T>(found: AsyncIterable<T>): Promise<T[]> {
  const kept: T[] = [];
  for await (const it of found) kept.push(it);
  return kept;
}

describe("CSV", () => {
  const records: [number, string[]][] = [
    [1, ["a", "b,c", 'say "hi"']],
    [2, ["", "line\r\nbreak", '"']],
    [4, ["ü", "€", "last"]],
  ];
  const text = records.map(([, cells]) => csvLine(cells)).join("");

  test("what is written is read again, however it is cut into chunks", async () => {
    for (const size of [1, 2, 3, 7, 1000]) {
      const read = await all(csvRecords(pieces(text, size), 100));
      expect(read).toEqual(records.map(([line, cells]) => ({ line, cells })));
    }
  });

  test("LF alone ends a record, and the last one needs no end", async () => {
    const read = await all(csvRecords(pieces('a,b\n"c",\n\nd,""', 3), 100));
    expect(read.map(({ cells }) => cells)).toEqual([["a", "b"], ["c", ""], [""], ["d", ""]]);
  });

  test("spaces around a cell are not its own, unless they stand in quotes", async () => {
    const read = await all(csvRecords(pieces('a , b\t\n "c ""x"" " ,\u00a0d\r\n', 3), 100));
    expect(read.map(({ cells }) => cells)).toEqual([
      ["a", "b"],
      ['c "x" ', "d"],
    ]);
    expect(csvLine([" a", "b ", "c d", "e;f"])).toBe('" a","b ",c d,"e;f"\n');
  });

  test.each([";", "\t"])("cells may be divided by %j, as spreadsheets of some countries do", async (by) => {
    const read = await all(csvRecords(pieces(`a${by}b\n"1${by}2"${by}3,4\n`, 2), 100));
    expect(read.map(({ cells }) => cells)).toEqual([
      ["a", "b"],
      [`1${by}2`, "3,4"],
    ]);
  });

  test("an unclosed quote ends at the bound and not with the memory", async () => {
    const why = (found: AsyncIterable<unknown>) => all(found).then(String, (error: Error) => error.message);
    const quoted = csvRecords(pieces(`a\n"${"x".repeat(500)}`, 9), 100);
    expect(await why(quoted)).toBe("line 2: longer than 100 characters");
    expect(await why(lines(pieces("x".repeat(500), 9), 100))).toBe("line 1: longer than 100 characters");
  });

  test("of a file that was cut off within quotes the last record is not read", async () => {
    const answer = await load('tenant_id,device_id,site_id\nacme,d1,"hall-1"\nacme,d2,"hall-1', csv);
    expect(answer.status).toBe(422);
    expect(answer.json).toMatchObject({
      added: 1,
      detail: "The rest of the file cannot be read; line 3: a quote is not closed.",
    });
  });
});

test("a long import or export with a store that answers at once leaves everybody else their turn", async () => {
  const { devices } = fake.view;
  const counts = { add: 0, list: 0 };
  const turns: string[] = [];
  const noted = <K extends "add" | "list">(name: K): DeviceStore[K] =>
    ((given: never) => {
      if (++counts[name] === 1) setImmediate(() => turns.push(`${name} ${counts[name]}`));
      return (devices[name] as (given: never) => unknown)(given);
    }) as DeviceStore[K];
  ask = asker({ ...fake.view, devices: { ...devices, add: noted("add"), list: noted("list") } });
  const rows = Array.from({ length: 5_000 }, (_, n) => ({
    tenant_id: "acme",
    device_id: `d${n}`,
    site_id: "s",
  }));
  await load(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  await ask("GET", "/admin/devices/export");
  expect(turns).toEqual(["add 1", "list 1"]);
  expect(counts.add).toBe(5);
  expect(counts.list).toBeGreaterThan(4);
});

describe("import", () => {
  test("metadata that is no object but a number with more digits than a double keeps is refused", async () => {
    const text = '{"tenant_id":"acme","device_id":"d1","site_id":"s","metadata":8949020000012345678}';
    expect(await load(text, ndjson)).toMatchObject({ json: { added: 0 } });
  });

  test.each([
    [ndjson, '{"tenant_id":"acme","device_id":"d1","site_id":"s","metadata":{"iccid":8949020000012345678}}'],
    [csv, 'tenant_id,device_id,site_id,metadata\nacme,d1,s,"{""iccid"":8949020000012345678}"'],
  ])("%s: metadata keeps all digits of its numbers, also in an export", async (type, text) => {
    expect(await load(text, type)).toMatchObject({ status: 200, json: { added: 1 } });
    const { text: exported } = await ask("GET", "/admin/devices/export");
    expect(exported).toContain('"metadata":{"iccid":8949020000012345678}');
  });

  test("NDJSON: added, existing and wrong lines, each with its number", async () => {
    await load('{"tenant_id":"acme","device_id":"d0","site_id":"s"}');
    const { status, json } = await load(
      [
        `{"tenant_id":"acme","device_id":"d1","site_id":"s","provision_token_hash":"${hash}","metadata":{"a":[1]},"status":"REVOKED"}`,
        "",
        '{"tenant_id":"acme","device_id":"d0","site_id":"other"}',
        '{"tenant_id":"acme"',
        '{"tenant_id":"acme","device_id":"d/2","site_id":"s"}',
        '{"tenant_id":"acme","device_id":"d3","site_id":"s","provision_token":"tok-secret"}',
        '{"tenant_id":"acme","device_id":"d4","site_id":"s"}\r',
      ].join("\n"),
    );
    expect(status).toBe(200);
    expect(json).toMatchObject({ read: 6, added: 2, existing: 1, wrong: 3, tokens: [] });
    const { remarks } = json as { remarks: { line: number; why: string }[] };
    expect(remarks.map(({ line }) => line).sort()).toEqual([3, 4, 5, 6]);
    expect(JSON.stringify(remarks)).not.toContain("tok-secret");
    expect(await fake.registry.get({ tenantId: "acme", deviceId: "d1" })).toMatchObject({
      status: "REVOKED",
      metadata: { a: [1] },
      tokenSet: true,
    });
    expect(await fake.registry.get({ tenantId: "acme", deviceId: "d0" })).toMatchObject({ siteId: "s" });
    expect(fake.forgotten).toContain("acme/d1");
  });

  test("CSV: headings in any order, quoted cells, empty cells are absent", async () => {
    const text = `site_id,device_id,tenant_id,metadata,fw_version\r\ns,d1,acme,"{""a"":1}",\r\n"s,2",d2,acme,,7\r\ns,d3\r\n`;
    expect((await load(text, "text/csv; charset=utf-8")).json).toMatchObject({
      read: 3,
      added: 2,
      wrong: 1,
      remarks: [{ line: 4, why: "2 cells under 5 headings" }],
    });
    expect(await fake.registry.get({ tenantId: "acme", deviceId: "d1" })).toMatchObject({
      metadata: { a: 1 },
      fwVersion: null,
    });
    expect(await fake.registry.get({ tenantId: "acme", deviceId: "d2" })).toMatchObject({
      siteId: "s,2",
      fwVersion: "7",
    });
  });

  test("CSV as people write it: a heading in capitals, spaces, rows without anything", async () => {
    const text = "Tenant_ID; Device_ID ;SITE_ID\r\nacme; d1 ;hall 7\r\n;;\r\n \r\n";
    expect((await load(text, csv)).json).toMatchObject({ read: 1, added: 1, wrong: 0 });
    expect(await fake.registry.get({ tenantId: "acme", deviceId: "d1" })).toMatchObject({ siteId: "hall 7" });
  });

  test.each([
    ["tenant_id,device_id", "this one lacks site_id"],
    ["tenant_id,device_id,site_id,provision_token,Colour", 'this one has "provision_token", "colour"'],
    ["tenant_id,device_id,site_id,site_id", "this one has twice site_id"],
  ])("what is wrong with the heading %s is named", async (heading, why) => {
    expect((await load(`${heading}\na,b,c,d,e`, csv)).text).toContain(JSON.stringify(why).slice(1, -1));
  });

  test.each([
    "acme,d1,s\nacme,d2,s",
    "tenant_id,device_id\nacme,d1",
    "tenant_id,device_id,site_id,provision_token\na,b,c,d",
  ])("CSV under a wrong heading registers nothing: %j", async (text) => {
    const refused = await load(text, csv);
    expect(refused).toMatchObject({ status: 422, json: { added: 0 } });
    expect(refused.text).toContain("heading");
    expect(refused.text).toContain("separated by commas");
  });

  test("tokens are made only when asked for, and only for devices without a hash", async () => {
    const text = `{"tenant_id":"acme","device_id":"d1","site_id":"s"}\n{"tenant_id":"acme","device_id":"d2","site_id":"s","provision_token_hash":"${hash}"}`;
    const { json } = await load(text, ndjson, "?make_tokens=true");
    const { tokens } = json as { tokens: { line: number; device_id: string; token: string }[] };
    expect(tokens).toMatchObject([{ line: 1, device_id: "d1" }]);
    const [d1, d2] = await fake.registry.find([
      { tenantId: "acme", deviceId: "d1" },
      { tenantId: "acme", deviceId: "d2" },
    ]);
    expect([d1?.tokenHash, d2?.tokenHash]).toEqual([sha256(tokens[0]?.token ?? ""), hash]);
    expect((await load(text, ndjson, "?make_tokens=true")).json).toMatchObject({ existing: 2, tokens: [] });
  });

  test("more lines than one request may have: 413, and what came before is imported", async () => {
    const line = (n: number) => `{"tenant_id":"acme","device_id":"d${n}","site_id":"s"}\n`;
    const text = Array.from({ length: 100_001 }, (_, n) => line(n)).join("");
    const reply = await load(text);
    expect(reply).toMatchObject({ status: 413, json: { read: 100_000, added: 100_000 } });
  }, 60_000);

  test("a registry that goes away half way: 503 with what was done, the tokens made included", async () => {
    let batches = 0;
    const { add } = fake.view.devices;
    const devices = {
      ...fake.view.devices,
      add: (it: Parameters<typeof add>[0]) =>
        ++batches > 1 ? Promise.reject(new RegistryError("unsure", new Error("gone"))) : add(it),
    };
    const text = Array.from(
      { length: 1500 },
      (_, n) => `{"tenant_id":"acme","device_id":"d${n}","site_id":"s"}`,
    ).join("\n");
    const reply = await asker({ ...fake.view, devices })(
      "POST",
      "/admin/devices/import?make_tokens=true",
      text,
      ndjson,
    );
    expect(reply).toMatchObject({ status: 503, json: { read: 1000, added: 1000 } });
    expect((reply.json as { tokens: unknown[] }).tokens).toHaveLength(1000);
  });

  test("metadata that PostgreSQL cannot hold costs its own line, and not the others of its batch", async () => {
    const line = (device: string, metadata: object) =>
      `${JSON.stringify({ tenant_id: "acme", device_id: device, site_id: "s", metadata })}\n`;
    const reply = await load(line("d1", {}) + line("d2", { a: "\0" }) + line("d3", {}));
    expect(reply.json).toMatchObject({
      added: 2,
      wrong: 1,
      remarks: [{ line: 2, why: expect.stringContaining("metadata: must be without U+0000") as string }],
    });
  });

  test("neither CSV nor NDJSON: 415; what is not UTF-8: 422", async () => {
    expect(await load("{}", "application/json")).toMatchObject({ status: 415 });
    const bytes = new Request("http://x", { method: "POST", body: new Uint8Array([0xff, 0xfe, 0x0a]) });
    expect(await load(await bytes.text())).toMatchObject({
      json: { ...nothing, read: 1, wrong: 1, remarks: [{ line: 1, why: "not JSON" }] },
    });
  });
});

describe("export", () => {
  beforeEach(async () => {
    const devices = Array.from({ length: 2500 }, (_, n) => ({
      tenantId: n % 2 ? "beta" : "acme",
      deviceId: `d${n}`,
      siteId: 's,"1"',
      metadata: { n },
    }));
    await fake.registry.add([
      ...devices,
      { tenantId: "acme", deviceId: "hashed", siteId: "s", tokenHash: hash },
    ]);
  });

  test.each([
    ["ndjson", ndjson],
    ["csv", csv],
  ])("%s: every device that matches, no hash, and it can be imported elsewhere", async (format, type) => {
    const {
      status,
      text,
      type: answered,
    } = await ask("GET", `/admin/devices/export?format=${format}&tenant=acme`);
    expect([status, answered]).toEqual([200, `${type}; charset=utf-8`]);
    expect(text).not.toContain(hash);
    const other = fakeView();
    const imported = await asker(other.view)("POST", "/admin/devices/import", text, type);
    expect(imported.json).toEqual({ ...nothing, read: 1251, added: 1251, without_token: 1251 });
    expect(await other.registry.get({ tenantId: "acme", deviceId: "d2" })).toMatchObject({
      siteId: 's,"1"',
      metadata: { n: 2 },
    });
  });

  test("no device at all is an empty file", async () => {
    expect(await ask("GET", "/admin/devices/export?tenant=nobody")).toMatchObject({ status: 200, text: "" });
  });
});
