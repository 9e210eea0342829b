/** A file of the configuration that is not UTF-8 is a mistake with its place: read otherwise it would say something else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { thisHost } from "../../src/config/host.ts";
import { loadConfig } from "../../src/config/index.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "sluice-utf8-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test.each([
  ["MAPPINGS_FILE", 'tenant = "Müll"\n[[mapping]]\ntopic = "Wärme/{device}"\n', "line 1, column 12"],
  ["ADMIN_TOKEN_FILE", "kein gültiges Wort, das lang genug ist\n", "line 1, column 7"],
  ["MAPPINGS_FILE", '[[mapping]]\n# Größe\ntopic = "a/{device}"\n', "line 2, column 5"],
])("%s in Latin-1: the mistake names the place", (setting, text, place) => {
  const file = join(dir, "file");
  writeFileSync(file, Buffer.from(text, "latin1"));
  const loaded = loadConfig({ DATA_DIR: dir, [setting]: file }, thisHost);
  if ("config" in loaded) throw new Error("no mistake was found");
  expect(loaded.mistakes).toHaveLength(1);
  expect(loaded.mistakes[0]).toContain(`${place} is not UTF-8`);
});

test.each(["DATA_DIR", "GATEWAY_ID", "ADMIN_TOKEN", "ADMIN_TOKEN_FILE"])(
  "%s in the environment in Latin-1 is a mistake",
  (setting) => {
    // As the runtime reads such bytes.
    const value = Buffer.from(`${dir}/Wärme-und-Kälte`, "latin1").toString();
    const loaded = loadConfig({ DATA_DIR: dir, [setting]: value }, thisHost);
    if ("config" in loaded) throw new Error("no mistake was found");
    expect(loaded.mistakes).toEqual([expect.stringContaining(`${setting}: holds bytes that are not UTF-8`)]);
  },
);

test("UTF-8 is read, with a byte order mark and what stands for a lost character", () => {
  const file = join(dir, "file");
  writeFileSync(file, '\uFEFF# \uFFFD\ntenant = "Müll"\n[[mapping]]\ntopic = "a/{device}"\n');
  expect(loadConfig({ DATA_DIR: dir, MAPPINGS_FILE: file }, thisHost)).toHaveProperty("config");
});
