/**
 * Administration of a running gateway: rejects that an operator can look up, and an audit log that records everything
 * except secrets.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fleet, type InProcess, registered, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";

const ADMIN_TOKEN = "a-token-of-some-length";
let running: InProcess;

beforeEach(async () => {
  running = await startInProcess({ ADMIN_TOKEN });
  await running.gateway.view.devices.add(registered(["d1"]));
});
afterEach(stopAll);

async function ask(method: string, path: string, body?: string, type = "application/json") {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": type };
  const url = `http://${running.gateway.httpAddress()}${path}`;
  return fetch(url, { method, headers, ...(body !== undefined && { body }) });
}

type Rejects = {
  rejects: { reason: string; device_id: string | null; count: number; detail: string | null }[];
};
const rejects = async (query = "") =>
  ((await (await ask("GET", `/admin/rejects${query}`)).json()) as Rejects).rejects;

async function say(...messages: Parameters<InProcess["source"]["give"]>): Promise<void> {
  running.source.give(...messages);
  await running.acknowledged();
}

test("rejects are found by device and reason, counted, with what was wrong", async () => {
  const wrongSite = { site_id: "lab-9" };
  await say(
    telemetry("d1", 1, wrongSite),
    telemetry("d1", 2, wrongSite),
    telemetry("d1", 3),
    telemetry("nobody", 1),
  );
  expect(await rejects("?device=d1")).toMatchObject([
    {
      reason: "SITE_MISMATCH_REGISTRY_VS_PAYLOAD",
      tenant_id: "acme",
      device_id: "d1",
      count: 2,
      detail: "registered for lab-1, payload says lab-9",
    },
  ]);
  expect(await rejects("?reason=UNREGISTERED_DEVICE&tenant=acme")).toMatchObject([
    { device_id: "nobody", count: 1 },
  ]);
  expect(await rejects("?limit=1")).toHaveLength(1);
  expect(await rejects("?tenant=other")).toEqual([]);
});

test("telemetry without metrics is stored, counted across restarts, and shown with what stands in their place", async () => {
  const before = running.stats().ingest.accepted;
  await say(telemetry("d1", 1, { metrics: undefined, temperature: 21 }), telemetry("d1", 2, { metrics: {} }));
  expect(await rejects("?reason=TELEMETRY_WITHOUT_METRICS")).toMatchObject([
    { accepted: true, device_id: "d1", count: 2, detail: "metrics holds no value" },
  ]);
  expect(running.stats().ingest).toMatchObject({
    accepted: before + 2,
    telemetry_without_metrics: 2,
    rejected: {},
  });
  await until(() => running.stats().sinks["local"]?.waiting === 0);
  expect(running.stats().sinks["local"]?.delivered).toBe(before + 2);
  expect(await (await ask("GET", "/metrics")).text()).toContain(
    "sluice_ingest_telemetry_without_metrics_total 2\n",
  );
});

test("a flood of made-up ids does not push out what is wrong with a real device", async () => {
  await say(telemetry("d1", 1, { provision_token: "tok-wrong" }));
  await say(...fleet(5_000, "made-up").map((id) => telemetry(id, 1)));
  expect(await rejects("?device=d1")).toMatchObject([{ reason: "TOKEN_INVALID", count: 1 }]);
  expect(await rejects("?reason=UNREGISTERED_DEVICE&limit=1000")).toHaveLength(1_000);
});

test("every change is in the audit log with who and what; no token and no hash is in it, nor in any file", async () => {
  const line = (id: string) => JSON.stringify({ tenant_id: "acme", device_id: id, site_id: "s" });
  const answers = [
    await ask("POST", "/admin/devices", JSON.stringify({ ...JSON.parse(line("d2")), make_token: true })),
    await ask("POST", "/admin/devices/acme/d2/rotate-token", '{"grace_seconds":10}'),
    await ask("POST", "/admin/devices/import?make_tokens=true", line("d3"), "application/x-ndjson"),
    await ask("PUT", "/admin/settings/MODE", '{"value":"DEV"}'),
    await ask("POST", "/admin/cache/clear"),
    await ask("GET", "/admin/devices/acme/d2"),
  ];
  const texts = await Promise.all(answers.map((answer) => answer.text()));
  const tokens = texts.flatMap((text) => text.match(/tok-[\w-]{32}/g) ?? []);
  expect(tokens).toHaveLength(3);

  const lines = readFileSync(join(running.dataDir, "audit.ndjson"), "utf8").trim().split("\n");
  const audited = lines.map((text) => JSON.parse(text) as Record<string, unknown>);
  expect(audited.map(({ action }) => action)).toEqual([
    "devices.create",
    "devices.rotate_token",
    "devices.import",
    "settings.set",
    "cache.clear",
  ]);
  for (const entry of audited) {
    expect(entry["who"]).toMatch(/^token [0-9a-f]{6}$/);
    expect(entry).toMatchObject({ from: "127.0.0.1" });
  }
  expect(audited[1]).toMatchObject({ tenant: "acme", device: "d2", grace_seconds: 10, status: 200 });
  expect(audited[2]).toMatchObject({ read: 1, added: 1, devices: ["acme/d3"] });
  expect(audited[3]).toMatchObject({ key: "MODE", value: "DEV" });

  await running.gateway.stop();
  for (const file of readdirSync(running.dataDir)) {
    const bytes = readFileSync(join(running.dataDir, file), "latin1");
    for (const secret of [...tokens, ADMIN_TOKEN]) expect(bytes.includes(secret)).toBe(false);
  }
  expect(lines.join()).not.toMatch(/[0-9a-f]{64}/);
});

test("an import far larger than other bodies may be succeeds, as a stream", async () => {
  const text = fleet(20_000, "bulk")
    .map(
      (id) =>
        `${JSON.stringify({ tenant_id: "acme", device_id: id, site_id: "s", metadata: { note: "x".repeat(50) } })}\n`,
    )
    .join("");
  const pieces = new ReadableStream({
    start(controller) {
      for (let at = 0; at < text.length; at += 65_000)
        controller.enqueue(new TextEncoder().encode(text.slice(at, at + 65_000)));
      controller.close();
    },
  });
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/x-ndjson" };
  const answer = await fetch(`http://${running.gateway.httpAddress()}/admin/devices/import`, {
    method: "POST",
    headers,
    body: pieces,
  });
  expect(await answer.json()).toMatchObject({ read: 20_000, added: 20_000, wrong: 0 });
  const exported = await ask("GET", "/admin/devices/export?match=bulk");
  expect((await exported.text()).split("\n")).toHaveLength(20_001);
});
