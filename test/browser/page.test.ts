/** The page in real Chromium at a real gateway: what an operator sees and does. */
import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { systemClock } from "../../src/core/clock.ts";
import { Spool } from "../../src/spool/spool.ts";
import { event } from "../contract/entries.ts";
import { chromiumAbsent, closeBrowser, openPage } from "../kit/chromium.ts";
import { startInflux3 } from "../kit/influx3.ts";
import {
  endLater,
  fleet,
  type InProcess,
  registered,
  scratch,
  startInProcess,
  stopAll,
  telemetry,
} from "../kit/inprocess.ts";
import { aBody, aMessage } from "../kit/builders.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";
import { defaultSpoolSettings } from "../kit/spool.ts";
import { until } from "../kit/until.ts";
import { startProxy } from "../kit/proxy.ts";

setDefaultTimeout(90_000);
afterEach(stopAll);
afterAll(closeBrowser);

let running: InProcess;
let page: Page;
let errors: string[];

async function open(
  env: Record<string, string> = {},
  options: Parameters<typeof openPage>[1] & { withBroker?: boolean } = {},
): Promise<void> {
  running = await startInProcess(env, { withBroker: options.withBroker ?? false });
  await show(options);
}

async function show(
  options: Parameters<typeof openPage>[1] = {},
  url = `http://${running.gateway.httpAddress()}/`,
): Promise<void> {
  ({ page, errors } = await openPage(url, options));
  endLater(() => page.context().close());
  await page.locator("#sentence").waitFor();
}

const sentence = (text: string) => page.locator("#sentence h2", { hasText: text }).waitFor();
const shows = (selector: string, text: string) => page.locator(selector, { hasText: text }).first().waitFor();

async function say(...messages: Parameters<InProcess["source"]["give"]>): Promise<void> {
  running.source.give(...messages);
  await running.acknowledged();
}

/** Violations that axe-core finds, as sentences. */
async function violations(): Promise<string[]> {
  await page.evaluate(readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8"));
  const found = await page.evaluate("axe.run()");
  return (found as { violations: { id: string; nodes: { html: string }[] }[] }).violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`,
  );
}

describe.skipIf(chromiumAbsent !== "")(`the page ${chromiumAbsent}`, () => {
  describe("of a site that works", () => {
    beforeEach(async () => {
      const dataDir = scratch();
      mkdirSync(dataDir, { recursive: true });
      const sample = (minute: number) => ({
        at: new Date(Date.now() - minute * 60_000).toISOString(),
        accepted: 100 + minute,
        duplicate: 1,
        rejected: {
          PAYLOAD_NOT_OBJECT: 1,
          BAD_SEQ: 1,
          NOT_UTF8: 1,
          MALFORMED_JSON: 3,
          TOKEN_INVALID: 2,
          SITE_MISMATCH_REGISTRY_VS_PAYLOAD: 4,
        },
        to_disk_ms: { p50: 5, p99: 25 },
        to_sink_ms: { local: { p50: 50, p99: 500 } },
        waiting: { local: minute },
        spool_bytes: 1000,
      });
      // Not in their order: somebody had set the clock back.
      const lines = [30, 10, 20, 5].map((minute) => `${JSON.stringify(sample(minute))}\n`);
      writeFileSync(join(dataDir, "history.ndjson"), `${lines.join("")}{"at":"cut o`);
      running = await startInProcess({ DATA_DIR: dataDir, GATEWAY_ID: "widerthanaphone".repeat(4) });
      await running.gateway.view.devices.add(registered(["d1", "z-silent"]));
      await say(telemetry("d1", 1), telemetry("d1", 2, { provision_token: "tok-wrong" }));
    });

    test("it says so, shows the way of a message, the tank, the books and the curves of before the restart", async () => {
      await show();
      await sentence("Working");
      await shows("#books", "they balance");
      await shows("#books", "2 = 1 + 1 + 0 + 0");
      await shows("#tank", "of 10.0 GiB");
      await page.locator("#devices tr", { hasText: /acme\/d1.*TOKEN_INVALID/ }).waitFor();
      // Who is silent stands first.
      expect(await page.locator("#devices tbody th").allTextContents()).toEqual(["acme/z-silent", "acme/d1"]);
      const cells = await page.locator("#devices tbody tr").last().locator("td").allTextContents();
      // In the last minute, and since the start.
      expect(cells.slice(3, 5)).toEqual(["1", "1"]);
      await page.locator("#place-sink-local").click();
      await shows(".told", "0 refused");
      await page.locator("#curves canvas").nth(3).waitFor();
      const curves = page.locator("#curves figure div[role=img]");
      const labels = await curves.evaluateAll((all) => all.map((one) => one.getAttribute("aria-label")));
      // The most frequent reasons, whichever came first, and the rest of them together.
      expect(labels).toEqual([
        "Messages per minute; in the last minute: accepted 105, duplicate 1, SITE_MISMATCH_REGISTRY_VS_PAYLOAD 4, MALFORMED_JSON 3, TOKEN_INVALID 2, other rejects 3",
        "From arrival, in ms: half took no longer; in the last minute: disk 5, local 50",
        "From arrival, in ms: 99 of 100 took no longer; in the last minute: disk 25, local 500",
        "Entries that wait; in the last minute: local 5",
      ]);
      expect(errors).toEqual([]);
    });

    test("a tab that nobody sees leaves its connection to the others, and is live again once it is seen", async () => {
      await show();
      await sentence("Working");
      const turn = (hidden: boolean) =>
        page.evaluate(
          `Object.defineProperty(document, "hidden", { value: ${hidden}, configurable: true });
           document.dispatchEvent(new Event("visibilitychange"));`,
        );
      const ended = page.waitForEvent("requestfailed", (one) => one.url().endsWith("/live"));
      await turn(true);
      await ended;
      await say(telemetry("d1", 3));
      await turn(false);
      await shows("#books", "3 = 2 + 1 + 0 + 0");
    });

    test("the last hour is that of the gateway, whatever the browser takes for the time", async () => {
      await show();
      await page.locator("#curves canvas").first().waitFor();
      await page.clock.setFixedTime("2037-01-01T00:00:00Z");
      await page.getByRole("button", { name: "Last day" }).click();
      await page.locator("#curves canvas").first().waitFor();
      await page.getByRole("button", { name: "Last hour" }).click();
      await page.locator("#curves canvas").first().waitFor();
    });

    test.each([
      ["light, wide", { width: 1200, colorScheme: "light" }],
      ["dark, as narrow as a phone", { width: 320, colorScheme: "dark" }],
    ] as const)("%s: axe finds nothing, and nothing is wider than the screen", async (_, options) => {
      // A reason of 33 letters is one word, and so is the form of a topic in the help of another.
      await say(telemetry("d1", 3, { site_id: "another" }), aMessage(aBody(), { topic: "elsewhere" }));
      await show(options);
      await page.locator("#curves canvas").first().waitFor();
      for (const summary of await page.locator("summary").all()) await summary.click();
      expect(await violations()).toEqual([]);
      const overflow = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth",
      );
      expect(overflow).toBeLessThanOrEqual(0);
      const beyond = await page.evaluate(
        "[...document.querySelectorAll('#curves, .u-label')].filter((one, _, [frame]) => one.getBoundingClientRect().right > frame.getBoundingClientRect().right).length",
      );
      expect(beyond).toBe(0);
      // No column is so narrow that its text stands a letter to a line, and no row of devices is a pile of buttons.
      const tallest = (rows: string) =>
        page.evaluate(
          `Math.max(...[...document.querySelectorAll(${JSON.stringify(rows)})].map((row) => row.offsetHeight))`,
        );
      expect(await tallest("tr")).toBeLessThan(260);
      expect(await tallest("#devices tbody tr")).toBeLessThan(80);
      expect(await tallest("#settings td button")).toBeLessThan(40);
    });

    test("each curve is drawn once, also on a screen so slow that more comes before the next frame", async () => {
      await show();
      await page.addInitScript(
        "requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 2_500)",
      );
      await page.reload();
      await page.locator("#curves canvas").nth(3).waitFor();
      // So long that a second drawing of the same would be there, too.
      await page.waitForTimeout(3_000);
      expect(await page.locator("#curves canvas").count()).toBe(4);
    });

    test("the keyboard alone opens a place and closes it", async () => {
      await show();
      await page.locator("#place-spool").focus();
      await page.locator("#place-spool[aria-expanded=false]").waitFor();
      await page.keyboard.press("Enter");
      await shows(".told", "takes messages");
      await page.locator("#place-spool[aria-expanded=true]").waitFor();
      const pressed = () =>
        page
          .locator("#curves button")
          .evaluateAll((all) => all.map((one) => one.getAttribute("aria-pressed")));
      expect(await pressed()).toEqual(["true", "false"]);
      await page.getByRole("button", { name: "Last day" }).press("Enter");
      await page.locator("#curves button[aria-pressed=true]", { hasText: "Last day" }).waitFor();
      expect(await pressed()).toEqual(["false", "true"]);
      await page.locator("#place-spool").focus();
      await page.keyboard.press("Enter");
      await page.locator(".told").waitFor({ state: "detached" });
    });

    test("a gateway that has no stream left is asked once a second, and the page is live all the same", async () => {
      await show();
      await page.route("**/live", (route) => route.fulfill({ status: 503, json: {} }));
      await page.reload();
      await sentence("Working");
      await say(telemetry("d1", 3));
      await shows("#books", "3 = 2 + 1 + 0 + 0");
      expect(await page.locator("h2#stale").count()).toBe(0);
    });

    test("a gateway that is gone makes what is shown old, and says for how long", async () => {
      await show();
      await sentence("Working");
      const titled = (title: RegExp) => until(async () => title.test(await page.title()));
      await titled(/^Sluice – widerthanaphone/);
      await running.gateway.stop();
      // Its sources ended first, which was not their trouble.
      await sentence("The gateway is being stopped");
      await titled(/^The gateway is being stopped – wider/);
      await shows("h2#stale", "has not answered for");
      await titled(/^No answer – wider/);
      // A screen reader says it once, and not each second.
      expect(await page.locator("#sentence [role=status] [aria-live=off]").innerText()).toMatch(/^\d+ s$/);
      await page.locator("#devices input[type=search]").fill("d1");
      await shows("#devices .bad", "the gateway does not answer");
    });
  });

  test("a connection that dies without a word is left for another, as after a power cut of the host", async () => {
    running = await startInProcess();
    const line = await startProxy({ port: Number(running.gateway.httpAddress().split(":").at(-1)) });
    endLater(() => line.stop());
    const known = new WeakSet<object>();
    let isCut = false;
    line.onAnswer((_, connection) => {
      if (!isCut) known.add(connection);
      return !(isCut && known.has(connection));
    });
    await show({}, `http://127.0.0.1:${line.port}/`);
    await sentence("Working");
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.locator("#follow input").fill("acme/d1");
    await page.locator("#follow button").first().click();
    await shows("#follow", "Waiting for what acme/d1 says.");
    await say(telemetry("d1", 1));
    await shows("#follow td", "accepted");
    isCut = true;
    await shows("h2#stale", "has not answered for");
    // Of the connections that the browser still holds it may try one dead one after the other.
    await page.locator("h2#stale").waitFor({ state: "detached", timeout: 60_000 });
    await shows("#follow", "Waiting for what acme/d1 says.");
    await say(telemetry("d1", 2));
    await page.locator("#follow td", { hasText: '"seq":2' }).waitFor();
  });

  test("over a line that is too slow for all of it the page does not fall behind, but asks anew for what is", async () => {
    running = await startInProcess();
    const line = await startProxy({ port: Number(running.gateway.httpAddress().split(":").at(-1)) });
    endLater(() => line.stop());
    await show({}, `http://127.0.0.1:${line.port}/`);
    await sentence("Working");
    const anew = page.waitForRequest("**/live", { timeout: 60_000 });
    // Each event takes a little longer than the second until the next one is sent, and so none is missed for long.
    line.throttleAnswers(JSON.stringify(running.stats()).length * 0.7);
    await anew;
  });

  test("devices: add one whose token is shown once, give it another, revoke it, let it in, follow it", async () => {
    await open();
    await shows("#devices p", "No device is registered.");
    await page.getByText("Add a device").click();
    const field = (name: string) => page.locator(`#devices input[name=${name}]`);
    const submit = () => page.locator("#devices details button[type=submit]").click();
    for (const [name, value] of Object.entries({ tenant: "acme", device: "press/3", site: "lab-1" }))
      await field(name).fill(value);
    await submit();
    await shows("#devices [role=status]", "device_id");
    // Nobody types anew what was right.
    expect(await field("tenant").inputValue()).toBe("acme");
    expect(errors.splice(0)).toEqual([expect.stringContaining("422")]);
    await field("device").fill("press-3");
    await submit();
    const token = (await page.locator("#token").textContent()) ?? "";
    expect(token).toMatch(/^tok-/);
    await page.getByRole("button", { name: "Copy" }).click();
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe(token);
    await page.getByRole("img", { name: "QR code" }).waitFor();
    // It is above the table, where nobody looks who has just pressed a button in its last row.
    const isFocused = (which: string) => page.locator(`${which}:focus`).waitFor();
    await page.getByRole("button", { name: "Hide" }).click();
    expect(await page.content()).not.toContain(token);

    const row = page.locator("#devices tr", { hasText: "acme/press-3" });
    await row.getByRole("button", { name: "Revoke" }).click();
    await row.getByText("REVOKED").waitFor();
    await row.getByRole("button", { name: "Activate" }).click();
    await row.getByText("ACTIVE").waitFor();
    await row.getByRole("button", { name: "New token" }).click();
    await page.locator(".token").waitFor();
    await isFocused('[aria-label="The new token"]');
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    // Of yet another one that was not copied it is not said.
    await row.getByRole("button", { name: "New token" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor({ state: "detached" });
    const another = (await page.locator("#token").textContent()) ?? "";
    expect(another).not.toBe(token);
    // Over plain HTTP from another host a browser has no clipboard.
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })");
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByRole("button", { name: "Selected, to be copied" }).waitFor();
    expect(await page.evaluate("getSelection().toString()")).toBe(another);
    await page.getByRole("button", { name: "Hide" }).click();
    await row.getByRole("button", { name: "Follow" }).click();
    await shows("#follow", "Waiting for what acme/press-3 says.");
    await isFocused("#follow");
    await say(
      telemetry("press-3", 7, { provision_token: another }),
      telemetry("press-3", 8, { provision_token: "x" }),
    );
    await shows("#follow td", "accepted");
    await shows("#follow td", "TOKEN_INVALID (stage registry)");
    await page
      .locator("#follow td", { hasText: /local \d+ ms/ })
      .first()
      .waitFor();
    expect(await page.content()).not.toContain(another);
    expect(errors).toEqual([]);
  });

  test("devices: of who is followed each message is shown once, and none of who was followed before, over one connection", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1", "d2"]));
    let connections = 0;
    page.on("request", (request) => void (connections += Number(request.url().includes("/admin/follow"))));
    for (const device of ["d2", "d1"]) {
      await page.locator("#follow input").fill(`acme/${device}`);
      await page.locator("#follow button").first().click();
      await shows("#follow", `Waiting for what acme/${device} says.`);
    }
    await say(telemetry("d2", 1), telemetry("d1", 2), telemetry("d1", 3));
    await page.locator("#follow td", { hasText: '"seq":3' }).waitFor();
    expect(await page.locator("#follow tbody tr").count()).toBe(2);
    // One more if this machine stood still meanwhile: the stream is opened anew then.
    expect(connections).toBeLessThanOrEqual(3);
  });

  test("rejects: the reason with its cure; what was kept is replayed once it is said how many that are", async () => {
    await open({ MODE: "DEV", STORE_REJECTS: "1" });
    await say(telemetry("d1", 1), telemetry("d1", 2));
    await shows("#rejects summary", "UNREGISTERED_DEVICE");
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    await shows("#rejects details", "Register it");
    await shows("#rejects details td", "acme/d1");
    await shows("#rejects .example", "tenant/acme/device/d1/telemetry");
    await page.locator("#rejects details").getByRole("button", { name: "Replay…" }).click();
    await shows("#rejects", "Replay 2 kept messages");
    await page.getByRole("button", { name: "Yes, replay" }).click();
    await shows("#rejects", "2 of 2 replayed.");
    expect(running.stats().ingest.accepted).toBe(2);
  });

  test("rejects: what the gateway has to search long for is not asked again meanwhile, and is shown once it is there", async () => {
    await open({ MODE: "DEV", STORE_REJECTS: "1" });
    await say(telemetry("d1", 1));
    let asks = 0;
    const { promise: found, resolve: find } = Promise.withResolvers<void>();
    await page.route("**/admin/quarantine?*", async (route) => {
      asks++;
      await found;
      await route.continue();
    });
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    for (const seq of [2, 3]) {
      await say(telemetry("d1", seq));
      await page.locator("#rejects details td", { hasText: new RegExp(`^${seq}$`) }).waitFor();
    }
    expect(asks).toBe(1);
    find();
    await shows("#rejects .example", "tenant/acme/device/d1/telemetry");
    await page.unrouteAll({ behavior: "wait" });
  });

  test("rejects: no more are discarded than were counted, though more came before somebody said yes", async () => {
    await open({ MODE: "DEV", STORE_REJECTS: "1" });
    await say(telemetry("d1", 1));
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    await shows("#rejects .example", "tenant/acme/device/d1/telemetry");
    await page.getByRole("button", { name: "Discard…" }).click();
    await shows("#rejects", "Discard 1 kept message with this reason?");
    await say(telemetry("d1", 2), telemetry("d1", 3));
    await until(
      async () => (await running.gateway.view.quarantine.list({ after: 0, limit: 9 })).length === 3,
    );
    await page.getByRole("button", { name: "Yes, discard" }).click();
    await shows("#rejects", "1 of 1 discarded.");
    expect(await running.gateway.view.quarantine.list({ after: 0, limit: 9 })).toHaveLength(2);
  });

  test("rejects: who asks again before the answer is there is asked once, and not while it is done", async () => {
    await open();
    await say(telemetry("d1", 1));
    const asked: boolean[] = [];
    let { promise: held, resolve: release } = Promise.withResolvers<void>();
    await page.route("**/admin/quarantine/{replay,discard}", async (route) => {
      asked.push((route.request().postDataJSON() as { dry_run: boolean }).dry_run);
      await held;
      await route.fulfill({ json: { matched: 3, done: 3, kept: [], next: null, up_to: 3 } });
    });
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    const press = (name: string) =>
      page.locator("#rejects details").getByRole("button", { name }).press("Enter");
    await press("Discard…");
    await press("Discard…");
    release();
    await shows("#rejects", "Discard 3 kept messages");
    ({ promise: held, resolve: release } = Promise.withResolvers<void>());
    await press("Yes, discard");
    await press("Replay…");
    release();
    await shows("#rejects [role=status]", "3 of 3 discarded.");
    expect(asked).toEqual([true, false]);
    await page.unrouteAll({ behavior: "wait" });
  });

  test("rejects: who has discarded what was kept sees so at once, however long it took to find before", async () => {
    await open({ MODE: "DEV", STORE_REJECTS: "1" });
    await page.clock.install();
    await page.reload();
    await say(telemetry("d1", 1));
    await page.route("**/admin/quarantine?*", async (route) => {
      await page.clock.fastForward(50_000);
      await route.continue();
    });
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    await shows("#rejects .example", "tenant/acme/device/d1/telemetry");
    await page.locator("#rejects details").getByRole("button", { name: "Discard…" }).click();
    await page.getByRole("button", { name: "Yes, discard" }).click();
    await shows("#rejects", "1 of 1 discarded.");
    await shows("#rejects", "No message with this reason is kept.");
    await page.unrouteAll({ behavior: "wait" });
  });

  test("rejects: devices are shown also on a line on which more is rejected before each answer", async () => {
    await open();
    await say(telemetry("d1", 1));
    let seq = 1;
    await page.route("**/admin/rejects?*", async (route) => {
      // The count has grown, and the page knows it, before this is answered.
      await say(telemetry("d1", ++seq));
      await shows("#rejects summary", String(seq));
      await route.continue();
    });
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    await shows("#rejects details td", "acme/d1");
    await page.unrouteAll({ behavior: "ignoreErrors" });
  });

  test("rejects: of many that were kept it is said how many were looked at so far", async () => {
    await open();
    await say(telemetry("d1", 1));
    const { promise: end, resolve: finish } = Promise.withResolvers<void>();
    await page.route("**/admin/quarantine/replay", async (route) => {
      const { after } = route.request().postDataJSON() as { after: number };
      const isLast = after > 0;
      if (isLast) await end;
      const kept = [{ id: after + 1, why: "UNREGISTERED_DEVICE" }];
      await route.fulfill({ json: { matched: 200, done: 199, kept, next: isLast ? null : 200, up_to: 400 } });
    });
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    await page.getByRole("button", { name: "Replay…" }).click();
    await shows("#rejects", "200 so far…");
    finish();
    await shows("#rejects", "Replay 400 kept messages");
    await page.getByRole("button", { name: "Yes, replay" }).click();
    await shows("#rejects", "398 of 400 replayed. 2 stay: UNREGISTERED_DEVICE.");
    await page.unrouteAll({ behavior: "wait" });
  });

  test("rejects: a reason has its devices, however many others were rejected later for another one", async () => {
    await open();
    await say(telemetry("odd", 1, { seq: 1.5 }));
    for (const id of fleet(60)) await say(telemetry(id, 1));
    await page.locator("#rejects summary", { hasText: "BAD_SEQ" }).click();
    await shows("#rejects details td", "acme/odd");
    await page.locator("#rejects summary", { hasText: "UNREGISTERED_DEVICE" }).click();
    await shows("#rejects details", "The 50 devices that were rejected last");
  });

  test("dead letters: the sink's words, an example and the cure; replayed or discarded once it is said how many that are", async () => {
    const dataDir = scratch();
    mkdirSync(dataDir, { recursive: true });
    const spool = new Spool({ dataDir, settings: defaultSpoolSettings, clock: systemClock });
    for (const n of [1, 2, 3])
      spool.deadLetters.put(n === 3 ? "gone" : "local", "e", event(n, { deviceId: `d${n}` }), `no ${n}`);
    spool.close();
    await open({ DATA_DIR: dataDir });
    await shows("#rejects", "3 entries that a sink will never take as they are.");
    await shows("#rejects td", "no 2");
    await shows("#rejects .example", "tenant/acme/device/d1/");
    const button = (name: string) => page.locator("#rejects").getByRole("button", { name });
    await button("Replay…").click();
    await shows("#rejects", "Replay 3 dead letters?");
    await button("Yes, replay").click();
    // The third is of a sink that there is no more.
    await shows("#rejects [role=status]", "2 of 3 replayed. 1 stays: ");
    await shows("#rejects td", "no 3");
    await button("Discard…").click();
    await button("No").click();
    expect(running.stats().spool["dead_letters"]).toBe(1);
    await button("Discard…").click();
    await button("Yes, discard").click();
    await page.locator("#rejects p", { hasText: "None." }).nth(1).waitFor();
    expect(running.stats()).toMatchObject({ balanced: true, spool: { dead_letters: 0 } });
  });

  test("devices: what the list says becomes new by itself, but not under the pointer", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.clock.install();
    await page.reload();
    await shows("#devices th", "acme/d1");
    const count = () => page.locator("#devices tbody td").nth(4).textContent();
    expect(await count()).toBe("0");
    await page.locator("#devices tbody tr").hover();
    await say(telemetry("d1", 1));
    await page.clock.runFor(11_000);
    expect(await count()).toBe("0");
    await page.locator("h1").hover();
    // The list rests a hundred times as long as its answer took, which is as long as this machine needed.
    await page.clock.fastForward(360_000_000);
    await page.locator("#devices tbody td:nth-of-type(5)", { hasText: "1" }).waitFor();
  });

  test("devices: a list that takes long to answer is asked for less often", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.clock.install();
    let asks = 0;
    await page.route("**/admin/devices/activity*", async (route) => {
      asks++;
      // Longer than the list is asked for again in general: it is not, while this is under way.
      await page.clock.runFor(25_000);
      await route.continue();
    });
    await page.reload();
    await shows("#devices th", "acme/d1");
    expect(asks).toBe(1);
    await page.clock.fastForward(150_000);
    expect(asks).toBe(1);
    // The clock goes on besides, so that the answer took 25 seconds and however long this machine needed.
    await page.clock.fastForward(360_000_000);
    await until(() => asks > 1);
    await page.unrouteAll({ behavior: "wait" });
    expect(asks).toBe(2);
  });

  test("devices: after an outage of the registry the list is there at once, however long each try had waited for it", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.clock.install();
    await page.route("**/admin/devices/activity*", async (route) => {
      await page.clock.runFor(10_000);
      await route.fulfill({ status: 503, json: { detail: "The registry does not answer." } });
    });
    await page.reload();
    await shows("#devices .bad", "The registry does not answer.");
    await page.unrouteAll({ behavior: "wait" });
    await page.clock.runFor(30_000);
    await shows("#devices th", "acme/d1");
  });

  test("devices: after the gateway was away the list is there at once, however long a try had waited for it", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.clock.install();
    await page.route("**/admin/devices/activity*", async (route) => {
      await page.clock.runFor(40_000);
      await route.abort();
    });
    await page.reload();
    await shows("#devices .bad", "the gateway does not answer");
    await page.unrouteAll({ behavior: "wait" });
    await sentence("Working");
    await until(async () => {
      await page.clock.runFor(10_000);
      return (await page.locator("#devices th", { hasText: "acme/d1" }).count()) > 0;
    });
  });

  test("devices: a file is imported, whatever the letters of its name, and the first line that is wrong is named", async () => {
    await open();
    await page.getByText("Import devices").click();
    const buffer = Buffer.from("tenant_id,device_id,site_id\nacme,c1,lab-1\nacme,,lab-1\n");
    const choose = (name: string) =>
      page.locator("#devices input[type=file]").setInputFiles({ name, mimeType: "", buffer });
    await choose("FLEET.CSV");
    await shows(
      "#devices [role=status]",
      "Added: 1 (1 of them without a token); already registered: 0; wrong lines: 1. Line 3: device_id: is missing.",
    );
    await shows("#devices th", "acme/c1");
    await page.route("**/admin/devices/import", (route) => route.fulfill({ status: 502, body: "<html>" }));
    await choose("again.csv");
    await shows("#devices [role=status]", "the gateway answers 502");
    await page.locator("#devices progress").waitFor({ state: "detached" });
    await page.route("**/admin/devices/import", (route) => route.fulfill({ status: 200, body: "<html>" }));
    await choose("again.csv");
    await shows(
      "#devices [role=status]",
      "the gateway does not answer, so whether this is done is not known",
    );
  });

  test("devices: a double click makes one token, so that the old one stays good, and revokes for good", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.reload();
    const asked: string[] = [];
    page.on("request", (one) => void (one.method() === "POST" && asked.push(one.url())));
    await page.getByRole("button", { name: "New token" }).dblclick();
    await page.locator("#token").waitFor();
    await say(telemetry("d1", 1));
    expect(running.gateway.view.stats().ingest.accepted).toBe(1);
    await page.getByRole("button", { name: "Revoke" }).dblclick({ delay: 100 });
    await page.getByRole("button", { name: "Activate" }).waitFor();
    expect(asked.map((url) => url.split("/").at(-1))).toEqual(["rotate-token", "revoke"]);
  });

  test("devices: a double click adds one device, and who loses the answer to a change is not told that nothing was done", async () => {
    await open();
    await page.getByText("Add a device").click();
    for (const name of ["tenant", "device", "site"])
      await page.locator(`#devices input[name=${name}]`).fill("one");
    let asked = 0;
    await page.route("**/admin/devices", (route) => {
      asked++;
      return route.continue();
    });
    await page.locator("#devices details button[type=submit]").dblclick();
    await page.locator("#token").waitFor();
    await shows("#devices th", "one/one");
    expect([asked, await page.locator("#devices > [role=status]").innerText()]).toEqual([1, ""]);
    await page.route("**/rotate-token", async (route) => {
      await route.fetch();
      await route.abort();
    });
    await page.getByRole("button", { name: "New token" }).click();
    await shows("#devices [role=status]", "whether this is done is not known. Make another new token only");
    // What is only asked changes nothing.
    await page.route("**/replay", (route) => route.abort());
    await say(telemetry("d1", 1));
    await page.locator("#rejects summary").click();
    await page.getByRole("button", { name: "Replay…" }).click();
    await shows("#rejects [role=status]", "the gateway does not answer");
    expect(await page.locator("#rejects [role=status]").innerText()).toBe("the gateway does not answer");
  });

  test("devices: who does not know whether a new token was made is warned of the next, if the device has one that it would lose", async () => {
    await open();
    const [d1] = registered(["d1"]);
    await running.gateway.view.devices.add([{ ...d1!, tokenHash: null }, ...registered(["d2"])]);
    await page.reload();
    const detail =
      "The registry does not answer; whether a change was made is unknown. Try again when it is back.";
    await page.route("**/rotate-token", (route) => route.fulfill({ status: 503, json: { detail } }));
    const told = page.locator("#devices > [role=status]");
    await page.getByRole("button", { name: "New token for acme/d2" }).click();
    await told
      .getByText(`${detail} Make another new token only when you can give it to the device`)
      .waitFor();
    await page.getByRole("button", { name: "New token for acme/d1" }).click();
    await told.getByText(detail, { exact: true }).waitFor();
  });

  test("devices: who presses New token again before the answer is there gets one, so that the old one stays good", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.reload();
    let asked = 0;
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    await page.route("**/rotate-token", async (route) => {
      asked++;
      await held;
      await route.continue();
    });
    const button = page.getByRole("button", { name: "New token" });
    await button.press("Enter");
    await button.press("Enter");
    release();
    await page.locator("#token").waitFor();
    await shows(".token", "the one before it stays good for an hour, or until yet another is made.");
    await page.unrouteAll({ behavior: "wait" });
    expect(asked).toBe(1);
    await say(telemetry("d1", 1));
    expect(running.stats().ingest.accepted).toBe(1);
    // Once it is there another one may be made.
    const first = await page.locator("#token").textContent();
    await button.press("Enter");
    await until(async () => (await page.locator("#token").textContent()) !== first);
  });

  test("an answer that was cut, or is the page of a proxy, is none: the rest stays live, and a change is not called done", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["d1"]));
    await page.route(/activity|history|reasons|admin.settings|cache.stats|login/, (route) =>
      route.fulfill({ status: 200, contentType: "text/html", body: "<html>Log in at the proxy" }),
    );
    await page.reload();
    await shows("#devices .bad", "the gateway does not answer");
    await shows("#settings .bad", "the gateway does not answer");
    await say(telemetry("d1", 1));
    await shows("#books", "1 = 1 + 0 + 0 + 0");
    await page.unrouteAll({ behavior: "wait" });
    await page.reload();
    await page.route("**/revoke", async (route) => {
      await route.fetch();
      await route.fulfill({ status: 200, body: '{"tenant_id":"ac' });
    });
    await page.getByRole("button", { name: "Revoke" }).click();
    await shows("#devices [role=status]", "whether this is done is not known");
    await page.route("**/activate", (route) => route.fulfill({ status: 504, body: "<html>" }));
    await page.getByRole("button", { name: "Activate" }).click();
    await shows("#devices [role=status]", "the gateway answers 504, so whether this is done is not known");
    expect(errors.filter((said) => !said.includes("504"))).toEqual([]);
  });

  test("a page that the gateway has outgrown says so, and leaves nothing that is no longer true", async () => {
    await open();
    await sentence("Working");
    await page.route("**/live", (route) => {
      const data = JSON.stringify({ ...running.stats(), sources: undefined });
      return route.fulfill({ contentType: "text/event-stream", body: `event: stats\ndata: ${data}\n\n` });
    });
    await page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
    await shows("[role=alert]", "This page does not understand what the gateway says");
    expect(await page.locator("#page > *").count()).toBe(1);
    // Of a part of it, too.
    await page.unrouteAll({ behavior: "wait" });
    await page.reload();
    await sentence("Working");
    await page.route("**/admin/devices/activity?*", (route) => route.fulfill({ json: {} }));
    await page.locator("#devices input[type=search]").fill("d");
    await shows("[role=alert]", "This page does not understand what the gateway says");
    expect(await page.locator("#page > *").count()).toBe(1);
  });

  test("after a restart that the browser comes over by itself, the seconds of before make nothing old", async () => {
    await open();
    await page.clock.install();
    const { promise: restarted, resolve: restart } = Promise.withResolvers<void>();
    let streams = 0;
    await page.route("**/live", async (route) => {
      const isFirst = ++streams === 1;
      if (!isFirst) await restarted;
      const data = JSON.stringify({ ...running.stats(), uptime_seconds: isFirst ? 1_000_000 : 1 });
      const body = `retry: 1\nevent: stats\ndata: ${data}\n\n`;
      return route.fulfill({ contentType: "text/event-stream", body });
    });
    await page.reload();
    await sentence("Working");
    await until(() => streams > 1);
    // Old, but not yet so old that the page opens a stream anew; and there it stays.
    await page.clock.pauseAt(Number(await page.evaluate("Date.now()")) + 4_500);
    await shows("h2#stale", "has not answered for");
    restart();
    await page.locator("h2#stale").waitFor({ state: "detached" });
    expect(errors).toEqual([]);
  });

  test("of who is not followed since too many are it is said why, and Follow tries again", async () => {
    await open();
    const follower = { entries() {}, passed() {}, notShown() {} };
    const whom = { tenantId: undefined, deviceId: undefined };
    const others = Array.from({ length: 10 }, () => running.gateway.view.follow(whom, follower));
    await page.locator("#follow input").fill("acme/d1");
    await page.locator("#follow button").first().click();
    await shows("#follow [role=status]", "Too many streams already follow devices.");
    others[0]?.();
    await page.locator("#follow button").first().click();
    await shows("#follow [role=status]", "Waiting for what acme/d1 says.");
    // A proxy before it answers: it is down, or wants a login of its own.
    for (const [status, said] of [
      [502, "the gateway answers 502"],
      [200, "the gateway does not answer"],
    ] as const) {
      await page.route("**/admin/follow?*", (route) =>
        route.fulfill({ status, contentType: "text/html", body: "<html>" }),
      );
      await page.locator("#follow button").first().click();
      await shows("#follow [role=status]", `The stream is not open: ${said}. Press Follow to try again.`);
    }
  });

  test("devices: a name that turns the direction of text round is not taken for another one", async () => {
    await open();
    await running.gateway.view.devices.add(registered(["\u202egnol"]));
    await page.reload();
    await shows("#devices th", String.raw`acme/\u202egnol`);
    await page.getByRole("button", { name: "Follow" }).first().click();
    await shows("#follow [role=status]", String.raw`Waiting for what acme/\u202egnol says.`);
    await say(telemetry("\u202egnol", 1));
    await shows("#follow tbody", "accepted");
    await page.getByRole("button", { name: "Revoke" }).click();
    await shows("#devices [role=status]", String.raw`acme/\u202egnol is revoked.`);
  });

  test("while the intake is held no source takes messages", async () => {
    await open({ SPOOL_MIN_FREE_BYTES: "9007199254740991" });
    await sentence("Intake held");
    await shows("#way", "is held");
    expect(await page.locator("#way").textContent()).not.toContain("takes messages");
  });

  test("a setting is changed, and a wrong value is refused in the gateway's words", async () => {
    await open();
    const row = page.locator('#settings tr:has(th:text-is("RATE_LIMIT_RPS"))');
    await row.locator("input").fill("17");
    await row.getByRole("button", { name: "Save" }).click();
    await shows("#settings", "RATE_LIMIT_RPS is changed.");
    await shows("#settings", "answered from memory: none yet; look-ups without an answer: 0 Clear");
    await row.locator("input").fill("many");
    await row.getByRole("button", { name: "Save" }).click();
    await page.locator("#settings [role=status]", { hasText: /RATE_LIMIT_RPS|number/ }).waitFor();
    expect(
      (await running.gateway.view.settings.list()).find(({ key }) => key === "RATE_LIMIT_RPS")?.value,
    ).toBe("17");
    // Nothing is the default again, which then stands there.
    await row.locator("input").fill("");
    await row.getByRole("button", { name: "Save" }).click();
    const stands = async (value: string) =>
      until(async () => (await row.locator("input").inputValue()) === value);
    await stands("5");
    await row.locator("input").fill("");
    await row.getByRole("button", { name: "Save" }).click();
    await stands("5");
  });

  test("a setting that somebody else changes is shown, also if the registry was away when the page came", async () => {
    await open();
    await page.clock.install();
    await page.route("**/admin/settings", (route) =>
      route.fulfill({ status: 503, json: { detail: "The registry does not answer." } }),
    );
    await page.reload();
    await shows("#settings .bad", "The registry does not answer.");
    await page.unrouteAll({ behavior: "wait" });
    const value = page.locator('#settings tr:has(th:text-is("RATE_LIMIT_RPS")) input');
    await page.clock.runFor(11_000);
    await value.waitFor();
    await running.gateway.view.settings.set("RATE_LIMIT_RPS", "17");
    // It rests a hundred times as long as its answer took, which is as long as this machine needed.
    await page.clock.fastForward(360_000_000);
    await until(async () => (await value.inputValue()) === "17");
  });

  test("10,000 devices are paged through, and one of them is found by a part of its id", async () => {
    await open();
    const ids = fleet(10_000);
    for (let at = 0; at < ids.length; at += 2_000)
      await running.gateway.view.devices.add(registered(ids.slice(at, at + 2_000)));
    // The silent stand first over all pages, not only among the fifty of one.
    await say(telemetry("dev-0000", 1));
    await page.reload();
    await shows("#devices th", "acme/dev-0001");
    expect(await page.locator("#devices tbody th").first().textContent()).toBe("acme/dev-0001");
    // The keyboard comes to the next page before the 150 buttons of this one, of which each says whose it is.
    await page.getByRole("button", { name: "Revoke acme/dev-0001" }).waitFor();
    await page.locator("#devices input[type=search]").focus();
    for (const what of ["Add a device", "Import devices", "Next 50"]) {
      await page.keyboard.press("Tab");
      expect(await page.evaluate("document.activeElement.textContent")).toBe(what);
    }
    // Whoever presses again, since the answer takes its time, is on the second page all the same.
    const held = Promise.withResolvers<void>();
    await page.route("**/admin/devices/activity*", async (route) => {
      await held.promise;
      await route.continue();
    });
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Back", exact: true, disabled: false }).waitFor();
    await page.keyboard.press("Enter");
    held.resolve();
    await page.unrouteAll({ behavior: "wait" });
    await shows("#devices th", "acme/dev-0051");
    await page.getByRole("button", { name: "Back", exact: true }).click();
    await shows("#devices th", "acme/dev-0001");
    await page.getByRole("button", { name: "Back", exact: true, disabled: true }).waitFor();
    const asked: string[] = [];
    page.on("request", (request) => void asked.push(request.url().replace(/.*[?&]match=/, "")));
    await page.locator("#devices input[type=search]").pressSequentially("9999");
    await shows("#devices th", "acme/dev-9999");
    // Once, on a machine on which the letters come within a moment.
    expect(asked.filter((what) => what.startsWith("9")).length).toBeLessThan(4);
    expect(await page.locator("#devices tbody tr").count()).toBe(1);
  });

  describe("with ADMIN_TOKEN", () => {
    const ADMIN_TOKEN = "a-token-of-some-length";

    async function login(token: string): Promise<void> {
      const form = page.locator("#devices form.login");
      await form.locator("input").fill(token);
      await form.getByRole("button", { name: "Log in" }).click();
    }

    /** By key: what comes with a login moves the button, and a mouse that is down upon it has clicked nothing then. */
    const logOut = () => page.getByRole("button", { name: "Log out" }).press("Enter");

    test("below a path of a proxy that names the gateway as it knows it, the page is live, and changes what it may", async () => {
      running = await startInProcess({ ADMIN_TOKEN }, { withBroker: false });
      const proxy = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch(request) {
          const { pathname, search } = new URL(request.url);
          if (!pathname.startsWith("/sluice/")) return new Response("", { status: 404 });
          const headers = new Headers(request.headers);
          headers.delete("host");
          const inner = `http://${running.gateway.httpAddress()}${pathname.slice("/sluice".length)}${search}`;
          return fetch(inner, { method: request.method, headers, body: request.body, decompress: false });
        },
      });
      endLater(() => proxy.stop(true));
      await running.gateway.view.devices.add(registered(["d1"]));
      await show({}, `${proxy.url.origin}/sluice/`);
      await sentence("Working");
      await login(ADMIN_TOKEN);
      await page.locator("#devices").getByRole("button", { name: "Revoke" }).click();
      await shows("#devices [role=status]", "revoked");
      await page.getByText("Import devices").click();
      const buffer = Buffer.from("tenant_id,device_id,site_id\nacme,c1,lab-1\n");
      await page.locator("#devices input[type=file]").setInputFiles({ name: "f.csv", mimeType: "", buffer });
      await shows("#devices [role=status]", "Added: 1");
      // Another gateway below another path has a session of its own.
      expect((await page.context().cookies()).map(({ path }) => path)).toEqual(["/sluice"]);
      await page.locator("#follow input").fill("acme/d1");
      await page.locator("#follow button").first().click();
      await shows("#follow", "Waiting for what acme/d1 says.");
      await page.getByRole("link", { name: "API" }).click();
      await page.getByRole("link", { name: "/openapi.json" }).waitFor();
      await page.getByRole("link", { name: "/openapi.json" }).click();
      await shows("body", '"openapi":"3.1.0"');
    });

    test("the state is shown, the administration wants a login; a wrong token is told, the right one opens all, a logout closes it", async () => {
      await open({ ADMIN_TOKEN });
      await running.gateway.view.devices.add(registered(["d1"]));
      await sentence("Working");
      await page.locator("#follow input").fill("no-device");
      await page.locator("#follow button").click();
      expect(await page.locator("#follow input:invalid").count()).toBe(1);
      await page.locator("#follow input").fill("acme/d1");
      await page.locator("#follow button").first().click();
      await shows("#follow", "The stream is not open: Log in first.");
      expect(await page.getByRole("button", { name: "Log out" }).count()).toBe(0);
      expect(await page.getByRole("heading", { name: "Auth cache" }).count()).toBe(0);
      await login("wrong-token-of-some-length");
      await shows("#devices", "This is not the ADMIN_TOKEN.");
      await login(ADMIN_TOKEN);
      await shows("#devices th", "acme/d1");
      expect(await page.evaluate("document.activeElement.id")).toBe("devices");
      await shows("#follow", "Waiting for what acme/d1 says.");
      await page.locator('#settings tr:has(th:text-is("RATE_LIMIT_RPS"))').waitFor();
      expect(await page.evaluate("document.cookie")).toBe("");
      expect(await page.content()).not.toContain(ADMIN_TOKEN);
      await page.context().clearCookies();
      await page.locator("#devices").getByRole("button", { name: "Revoke" }).click();
      await shows("#devices [role=status]", "Log in first.");
      await page.locator("#devices form.login").waitFor();
      await login(ADMIN_TOKEN);
      await page.locator("#devices [role=status]", { hasText: /^$/ }).waitFor({ state: "attached" });
      await page.locator("#devices").getByRole("button", { name: "New token" }).click();
      await page.locator("#token").waitFor();
      await logOut();
      await page.locator("#devices form.login").waitFor();
      await page.getByRole("button", { name: "Log out" }).waitFor({ state: "detached" });
      // Nothing is left for who comes to this screen next, nor for who logs in then.
      expect(await page.locator("#token, #devices tbody tr, #settings tbody tr").count()).toBe(0);
      await login(ADMIN_TOKEN);
      await page.locator("#devices tbody tr").first().waitFor();
      expect(await page.locator("#token").count()).toBe(0);
    });

    test("once its session has ended nothing stays that wants a login", async () => {
      await open({ ADMIN_TOKEN });
      await running.gateway.view.devices.add(registered(["d1"]));
      await page.clock.install();
      await page.reload();
      await login(ADMIN_TOKEN);
      await page.locator("#follow input").fill("acme/d1");
      await page.locator("#follow button").first().click();
      await shows("#follow", "Waiting for what acme/d1 says.");
      await say(telemetry("d1", 1));
      await shows("#follow td", "accepted");
      await page.context().clearCookies();
      await page.clock.fastForward(360_000_000);
      await page.locator("#devices form.login").waitFor();
      const left = page.locator("#follow tbody tr, #devices tbody tr, #settings tbody tr");
      await until(async () => (await left.count()) === 0);
    });

    test("who logs in or out in one tab has done so in all of them", async () => {
      await open({ ADMIN_TOKEN });
      const other = await page.context().newPage();
      await other.goto(page.url());
      await other.locator("#settings form.login").waitFor();
      await login(ADMIN_TOKEN);
      await other.locator('#settings tr:has(th:text-is("RATE_LIMIT_RPS"))').waitFor();
      await logOut();
      await other.locator("#settings form.login").waitFor();
    });
  });

  const absent = [
    ...(mosquittoAvailable() ? [] : ["mosquitto is not installed"]),
    postgresAvailable(),
  ].filter((why) => why !== "");
  test.skipIf(absent.length > 0)(
    `an outage of each server is the sentence and the broken arrow, and goes with it ${absent.join(", ")}`,
    async () => {
      const broker = await startMosquitto();
      endLater(() => broker.dispose());
      const influx = await startInflux3();
      endLater(() => influx.stop());
      const database = new URL(await (await sharedPostgres()).createDatabase());
      const lines = {
        postgres: await startProxy({ port: Number(database.port) }),
        influx: await startProxy({ port: Number(new URL(influx.url).port) }),
        mqtt: await startProxy({ port: broker.port }),
      };
      for (const line of Object.values(lines)) endLater(() => line.stop());
      database.port = String(lines.postgres.port);
      await open(
        {
          DATABASE_URL: database.href,
          INFLUXDB_URL: `http://127.0.0.1:${lines.influx.port}`,
          INFLUX_FLUSH_INTERVAL_MS: "50",
          MQTT_URL: `mqtt://127.0.0.1:${lines.mqtt.port}`,
        },
        { withBroker: true },
      );
      await sentence("Working");
      await running.gateway.view.devices.add(registered(["d1"]));
      const { connectAsync } = await import("mqtt");
      const device = await connectAsync({ host: "127.0.0.1", port: broker.port });
      endLater(() => device.endAsync(true));
      let seq = 0;
      const load = setInterval(() => {
        const { topic, payload } = telemetry("d1", ++seq);
        device.publish(topic, Buffer.from(payload), { qos: 1 });
      }, 50);
      endLater(() => clearInterval(load));

      lines.influx.mode("refuse");
      await sentence("Sink influx cannot deliver (since");
      await shows("#sentence p", "wait in the spool");
      expect(await page.locator("#sentence [role=status]").innerText()).not.toContain("wait in the spool");
      await page.locator("#place-sink-influx.broken").waitFor();
      lines.influx.mode("pass");
      await sentence("Working");

      lines.postgres.mode("refuse");
      await sentence("Sink postgres cannot deliver (since");
      await page.locator("#place-sink-postgres.broken").click();
      await shows(".told", "Nothing is lost");
      // A second one in trouble has its own words, time and cure, though the sentence is of the worst.
      lines.mqtt.mode("refuse");
      await sentence("Source mqtt away");
      await page.locator("#place-sink-postgres.broken").waitFor();
      await shows(".told p", "Since ");
      await shows(".told", "Nothing is lost");
      await page.locator("#place-source-mqtt.broken").click();
      await shows(".told", "See that the broker runs");
      lines.postgres.mode("pass");
      await page.locator("#place-sink-postgres:not(.broken)").waitFor();
      lines.mqtt.mode("pass");
      await sentence("Working");
      expect(await page.locator(".broken").count()).toBe(0);
    },
  );
});
