/**
 * Every setting that may hold a secret, written wrongly in every way in which people write it: no mistake, warning or
 * table repeats it.
 */
import { expect, test } from "bun:test";
import { loadConfig } from "../../src/config/index.ts";
import { tables } from "../../src/config/tables.ts";
import type { Host } from "../../src/config/host.ts";
import type { Setting } from "../../src/core/settings.ts";

/** Too short to be searched for wherever it stands: what is masked is masked by its place. */
const secret = "s3cret";
const host: Host = {
  name: () => "gateway-7",
  canWrite: () => true,
  exposureOf: () => ({ mistakes: [], warnings: [] }),
  exposureOfSecret: () => undefined,
  readText: (path) => {
    if (path === "/run/secret") return `${secret}\n`;
    throw new Error(`ENOENT: no such file or directory, open '${path}'`);
  },
};

const settings = Object.values<Readonly<Record<string, Setting<unknown>>>>(tables).flatMap((table) =>
  Object.values(table),
);
const schemes = ["mqtt", "mqtts", "postgres", "http", "file", "mysql"];
const urls = [
  ...schemes.flatMap((scheme) => [
    `${scheme}://me:${secret}@host:1234/x`,
    `${scheme}://me:${secret}@host:bad`,
    `${scheme}://me:${secret}/9@host`,
    `${scheme}://me:${secret}@9@host`,
    `${scheme}://me:${secret}?9@host`,
    `${scheme}://me: ${secret}@host`,
    `${scheme}//me:${secret}@host`,
    `${scheme}:/me:${secret}@host`,
    `${scheme}://host/?token=${secret}`,
    `${scheme}://host?u=me&p=${secret}`,
    `${scheme}://host?password=${secret}&x=1`,
  ]),
  `me:${secret}@host`,
  `me:${secret}@host:5432/x`,
  `host:8086?token=${secret}`,
  `host/?p=${secret}`,
  `//me:${secret}@host`,
];

const rows: [string, Record<string, string>][] = settings.flatMap(({ name, unit, secret: isSecret }) => {
  const texts = [...(unit.includes("url") ? urls : []), ...(isSecret ? [secret, ` ${secret} x`] : [])];
  const files: Record<string, string>[] = isSecret
    ? [
        { [`${name}_FILE`]: secret },
        { [`${name}_FILE`]: "/run/secret" },
        { [`${name}_FILE`]: "/run/secret", [name]: secret },
        { [`${name}_FILE`]: `${secret}/with=slash`, [name]: secret },
      ]
    : [];
  const envs = [...texts.map((text) => ({ [name]: text })), ...files];
  return envs.map((env): [string, Record<string, string>] => [JSON.stringify(env), env]);
});

test.each(rows)("%s", (_, env) => {
  const loaded = loadConfig({ ...env, MODE: "neither" }, host);
  const mistaken = JSON.stringify(loaded);
  expect(mistaken).toContain("MODE");
  expect(mistaken).not.toContain(secret);
  const { warnings, ...rest } = loadConfig(env, host);
  const shown = "config" in rest ? { warnings, effective: rest.effective } : { warnings, ...rest };
  expect(JSON.stringify(shown)).not.toContain(secret);
});

test("there is something to try", () => {
  expect(rows.length).toBeGreaterThan(150);
});
