/** `sluice mappings try` as an operator runs it, on the worked examples of docs/mappings.md, word for word. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TryResult } from "../../src/cli/mappings/try.ts";
import { endOf, executable, sluice } from "../kit/gateway.ts";
import { arrival, connected, devicesIn, site, workedExamples } from "../kit/worked-examples.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-mappings-"));
const env = { DATA_DIR: join(dir, "data") };

function tryOne(mappings: string, payload: string, ...words: string[]) {
  const file = join(dir, `${Bun.hash(mappings)}.toml`);
  writeFileSync(file, mappings);
  return tryIn({ ...env, MAPPINGS_FILE: file }, payload, ...words);
}

function tryIn(settings: Record<string, string>, payload: string, ...words: string[]) {
  const child = Bun.spawn([executable, "mappings", "try", "--at", arrival, ...words], {
    env: { PATH: process.env["PATH"], ...settings },
    stdin: Buffer.from(payload),
    stdout: "pipe",
    stderr: "pipe",
  });
  return endOf(child);
}

beforeAll(async () => {
  const devices = join(dir, "devices.ndjson");
  const ids = new Set(workedExamples.flatMap(devicesIn));
  const rows = [...ids].map((id) => JSON.stringify({ tenant_id: "acme", device_id: id, site_id: site }));
  writeFileSync(devices, `${rows.join("\n")}\n`);
  expect(await sluice(env, "devices", "import", devices)).toMatchObject({ code: 0 });
});

test("the page has examples", () => {
  expect(workedExamples.length).toBe(18);
});

describe("word for word", () => {
  test.concurrent.each(workedExamples.map((example) => [example.name, example] as const))(
    "%s",
    async (_, example) => {
      const isConnection = example.mapping.includes('"connection"');
      const as = isConnection ? ["--as", `${connected.tenantId}/${connected.deviceId}`] : [];
      const mappings = `tenant = "acme"\n${example.mapping}`;
      const { code, out } = await tryOne(
        mappings,
        example.payload,
        "--topic",
        example.topic,
        "--json",
        ...as,
      );
      const { outcomes } = JSON.parse(out) as TryResult;
      const told = outcomes.map(({ event, metrics, line, no_line: noLine }) => ({
        event,
        metrics: JSON.stringify(metrics),
        line: line ?? `none (${noLine})`,
      }));
      expect(told).toEqual([...example.events] as typeof told);
      expect(code).toBe(0);
    },
  );
});

test("in words for people, and a misfit is named by mapping and pointer", async () => {
  const mappings = `tenant = "acme"\n[[mapping]]\ntopic = "a/{device}"\nmetrics = "/x/y"\nproof = "broker"\n`;
  const bad = await tryOne(mappings, '{"x":{}}', "--topic", "a/pump-7");
  expect(bad).toMatchObject({ code: 1 });
  expect(bad.out).toContain(
    "mapping  line 3, a/{device}, proof = broker\nreject   MAPPING_MISFIT: mapping a/{device}: /x/y finds nothing\n",
  );
  const good = await tryOne(mappings, '{"x":{"y":1}}', "--topic", "a/pump-7");
  expect(good.out).toContain(
    `event    acme / pump-7 / hall-7 (registry) / telemetry / ${arrival}\n         {"y":1}\nline     telemetry,`,
  );
  const none = await tryOne(mappings, "{}", "--topic", "b/pump-7");
  expect(none.out).toContain("mapping  no mapping takes this topic\nreject   BAD_TOPIC_FORMAT");
  const wide = `tenant = "acme"\n[[mapping]]\ntopic = "{x}/{device}/{rest...}"\nproof = "broker"\n`;
  const own = await tryOne(wide, "{}", "--topic", "tenant/acme/device/pump-9/telemetry");
  expect(own.out).toContain("mapping  none, it is Sluice's own topic\nreject   ");
});

test("a long number is shown as it is stored", async () => {
  const mappings = `tenant = "acme"\n[[mapping]]\ntopic = "v/{device}/{metric}"\nproof = "broker"\n`;
  const { out } = await tryOne(mappings, "9007199254740993", "--topic", "v/pump-7/n");
  expect(out).toContain('\n         {"n":9007199254740993}\n');
});

test("of several devices in one message each reject is told by its device", async () => {
  const mappings = `tenant = "acme"\n[[mapping]]\ntopic = "g"\neach = "/{device}/*"\nproof = "broker"\n`;
  const { code, out } = await tryOne(mappings, '{"pump-7":[{"t":1}],"x":[{"t":2}],"y":[{}]}', "--topic", "g");
  expect(code).toBe(1);
  expect(out).toContain("reject   UNREGISTERED_DEVICE\n         acme / x\n");
  expect(out).toContain("it yields no metric\n         acme / y\n");
});

test("what is not set up yet is named: no file of mappings, no registry", async () => {
  const unset = await tryIn(env, "{}", "--topic", "a/pump-7");
  expect(unset.out).toContain("mapping  none, since MAPPINGS_FILE is not set\n");
  const MAPPINGS_FILE = join(dir, "alone.toml");
  writeFileSync(MAPPINGS_FILE, `tenant = "acme"\n[[mapping]]\ntopic = "a/{device}"\nproof = "broker"\n`);
  const DATA_DIR = join(dir, "none-yet");
  const alone = await tryIn({ DATA_DIR, MAPPINGS_FILE }, '{"t":1}', "--topic", "a/pump-7");
  expect(alone.out).toContain("line     none (its site is not known until the registry answers)\n");
});
