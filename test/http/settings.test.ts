/** /admin/settings: a value is checked before it is written to app_settings. */
import { beforeEach, expect, test } from "bun:test";
import { policySettings } from "../../src/judge/judge.ts";
import { type FakeView, fakeView } from "../kit/view.ts";
import { asker } from "./client.ts";

let fake: FakeView;
let ask: ReturnType<typeof asker>;
beforeEach(() => {
  fake = fakeView();
  ask = asker(fake.view);
});

const rowOf = async (key: string) => {
  const { settings } = (await ask("GET", "/admin/settings")).json as { settings: { key: string }[] };
  return settings.find((row) => row.key === key);
};

test("all of them, with what is in force", async () => {
  const { settings } = (await ask("GET", "/admin/settings")).json as { settings: { key: string }[] };
  expect(settings.map(({ key }) => key).sort()).toEqual(
    Object.values(policySettings)
      .map(({ name }) => name)
      .sort(),
  );
  expect(await rowOf("RATE_LIMIT_RPS")).toMatchObject({
    value: "5",
    source: "default",
    stored: null,
    mistake: null,
  });
});

test.each([
  ["MODE", "dev", "DEV"],
  ["STORE_REJECTS", true, "1"],
  ["RATE_LIMIT_RPS", 2.5, "2.5"],
  ["MAX_PAYLOAD_BYTES", "16384", "16384"],
])("%s = %p is in force at once; null restores the environment's value", async (key, value, shown) => {
  const before = await rowOf(key);
  expect((await ask("PUT", `/admin/settings/${key}`, { value })).json).toMatchObject({
    key,
    value: shown,
    source: "database",
  });
  expect(await rowOf(key)).toMatchObject({ value: shown, source: "database" });
  expect((await ask("PUT", `/admin/settings/${key}`, { value: null })).json).toEqual(before);
});

test.each([
  ["MODE", "TEST"],
  ["STORE_REJECTS", "maybe"],
  ["RATE_LIMIT_RPS", "-1"],
  ["RATE_LIMIT_BURST", "0"],
  ["MAX_PAYLOAD_BYTES", "8 horses"],
])("%s = %s: 422 that names the row, and nothing is written", async (key, value) => {
  const refused = await ask("PUT", `/admin/settings/${key}`, { value });
  expect(refused).toMatchObject({ status: 422, type: "application/problem+json" });
  expect((refused.json as { detail: string }).detail).toStartWith(`${key} must be `);
  expect(await fake.registry.settings()).toEqual({});
});

test.each([[{}], [[1]], [undefined]])("what no value can be is told as what one can: %p", async (value) => {
  const refused = await ask("PUT", "/admin/settings/MODE", { value });
  expect(refused).toMatchObject({
    status: 422,
    json: { detail: "Body: value: must be a text, a number, true, false or null." },
  });
});

test("a row that somebody else made invalid is shown with its mistake, and the last good value stays in force", async () => {
  await fake.registry.setSetting("RATE_LIMIT_RPS", "fast");
  expect(await rowOf("RATE_LIMIT_RPS")).toMatchObject({
    value: "5",
    source: "default",
    stored: "fast",
    mistake: expect.stringContaining("number"),
  });
});

test("an unknown row is 404, and what else the table holds is not shown", async () => {
  await fake.registry.setSetting("LAST_ACTIVATION", "tok-secret");
  expect(await ask("PUT", "/admin/settings/LAST_ACTIVATION", { value: "x" })).toMatchObject({ status: 404 });
  expect((await ask("GET", "/admin/settings")).text).not.toContain("tok-secret");
});
