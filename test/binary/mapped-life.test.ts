/**
 * A site's mappings over their life: a wrong file, a file that does not fit, one that is fixed, one that is removed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { type GatewayProcess, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { type Mosquitto, mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";
import { until } from "../kit/until.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-mapped-life-"));
const file = join(dir, "mappings.toml");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("a wrong file: each mistake with its place, exit code 78, and nothing is touched", async () => {
  writeFileSync(
    file,
    '[[mapping]]\ntopic = "a/{device}"\ntime = "now"\n\n[[mapping]]\nproof = "connection"\ntenant = "t"\ntopic = "b/{device}"\n',
  );
  const env = {
    DATA_DIR: join(dir, "untouched"),
    MAPPINGS_FILE: file,
    MQTT_URL: "mqtt://127.0.0.1:1",
    LOG_LEVEL: "loud",
  };
  for (const command of ["run", "check"]) {
    const { code, err } = await sluice(env, command);
    expect([command, code]).toEqual([command, 78]);
    expect(err).toContain("4 mistakes in the configuration, nothing was changed");
    expect(err).toContain(`MAPPINGS_FILE=${file}, line 2, column 1: topic names no tenant`);
    expect(err).toContain(`MAPPINGS_FILE=${file}, line 3, column 1: time is "now"`);
    expect(err).toContain(
      `MAPPINGS_FILE=${file}, line 8, column 1: topic "b/{device}": proof = "connection"`,
    );
    expect(err).toContain("LOG_LEVEL");
  }
  expect(existsSync(env.DATA_DIR)).toBe(false);
  writeFileSync(
    file,
    'tenant = "t"\n[[mapping]]\nproof = "connection"\ntopic = "{a}/x/device/{device}/{b}"\n',
  );
  const crossed = await sluice(
    { ...env, LOG_LEVEL: "info", MQTT_TOPIC: "tenant/+/device/+/+,tenant/#,tenant/a/#,+/b" },
    "check",
  );
  expect(crossed.err).toContain('proof = "connection" is for the embedded broker');
  expect(crossed.err).toContain("share some topics, and neither contains the other");
  expect(
    (await sluice({ ...env, LOG_LEVEL: "info", MAPPINGS_FILE: join(dir, "none.toml") }, "check")).err,
  ).toContain("cannot be read");
});

const isThere = mosquittoAvailable();

describe.skipIf(!isThere)(isThere ? "with Mosquitto" : "(skipped: mosquitto is not installed)", () => {
  let mosquitto: Mosquitto;
  let client: MqttClient;
  let env: Record<string, string>;
  let gateway: GatewayProcess;
  beforeAll(async () => {
    mosquitto = await startMosquitto();
    client = await connectAsync(`mqtt://127.0.0.1:${mosquitto.port}`);
    env = {
      ...{
        DATA_DIR: join(dir, "data"),
        GATEWAY_ID: "life",
        HTTP_LISTEN: "127.0.0.1:0",
        ADMIN_TOKEN: "a-token-of-some-length",
      },
      ...{ MQTT_URL: `mqtt://127.0.0.1:${mosquitto.port}`, MAPPINGS_FILE: file },
    };
    writeFileSync(file, "tenant = 'acme'\n[[mapping]]\ntopic = 'a/{device}'\n");
    for (const id of ["d1", "d2"]) await sluice(env, "devices", "add", "acme", id, "--site", "hall-7");
  });
  afterAll(async () => {
    await client.endAsync();
    await gateway.stop();
    await mosquitto.dispose();
  });

  async function start(mappings: string): Promise<void> {
    writeFileSync(file, `tenant = "acme"\n${mappings}`);
    gateway = await startGateway(env, env["DATA_DIR"]);
    await statsWhen(gateway, (stats) => (stats["source"] as { connected: boolean }).connected);
  }
  const say = (topic: string, payload: unknown) =>
    client.publishAsync(topic, JSON.stringify(payload), { qos: 1 });
  const received = (count: number) =>
    statsWhen(gateway, ({ ingest }) => ingest.received === count && ingest.judging === 0);
  const asked = async (...words: string[]) => sluice(env, ...words, "--gateway", gateway.url);
  const get = async (path: string) =>
    (
      await fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${env["ADMIN_TOKEN"]}` } })
    ).json() as Promise<never>;

  test("what does not fit is kept and reported, with an example of a topic that no mapping takes", async () => {
    await start(
      '[[mapping]]\ntopic = "a/{device}"\nmetrics = "/wrong"\nproof = "broker"\n[[mapping]]\ntopic = "b/{device...}"\nproof = "broker"\n',
    );
    await until(() =>
      gateway.log().includes("whoever may publish under these topics speaks for every registered device"),
    );
    await say("a/d1", { right: { x: 1 } });
    await say("b", { x: 1 });
    const stats = await received(2);
    expect(stats.ingest.rejected).toEqual({ MAPPING_MISFIT: 1, BAD_TOPIC_FORMAT: 1 });
    const { rejects } = (await get("/admin/rejects")) as {
      rejects: { reason: string; topic: string; detail: string }[];
    };
    expect(rejects.find(({ reason }) => reason === "BAD_TOPIC_FORMAT")).toMatchObject({ topic: "b" });
    expect(rejects.find(({ reason }) => reason === "MAPPING_MISFIT")).toMatchObject({
      ...{ topic: "a/d1", detail: "mapping a/{device}: /wrong finds nothing" },
    });
    const check = await sluice(env, "check");
    expect(check.out).toMatch(/mappings +ok +2 of .*subscribes to tenant\/\+\/device\/\+\/\+, a\/\+, b\/#/);
    expect(check.out).toContain("speaks for every registered device of the tenant");
  });

  test("once the file is fixed, what was kept can be tried and is replayed", async () => {
    await gateway.stop();
    await start('[[mapping]]\ntopic = "a/{device}"\nmetrics = "/right"\nproof = "broker"\n');
    const { rows } = (await get("/admin/quarantine?reason=MAPPING_MISFIT")) as { rows: { id: number }[] };
    const [row] = rows;
    const tried = await asked("mappings", "try", "--quarantine", String(row?.id));
    expect(tried).toMatchObject({ code: 0 });
    expect(tried.out).toContain('{"x":1}');
    expect((await asked("quarantine", "replay", "--reason", "MAPPING_MISFIT")).out).toContain("1 of 1");
    const stats = await statsWhen(
      gateway,
      ({ ingest, sinks }) => ingest.accepted === 1 && sinks["local"]?.waiting === 0,
    );
    expect(stats.balanced).toBe(true);
    expect(await get("/admin/quarantine?reason=MAPPING_MISFIT")).toMatchObject({ rows: [] });
  });

  test("a removed mapping is not subscribed to any more, and the broker keeps nothing for it", async () => {
    await gateway.stop();
    await start('[[mapping]]\ntopic = "c/{device}"\nproof = "broker"\n');
    const before = (await gateway.stats()).ingest.received;
    await say("a/d1", { right: { x: 2 } });
    await say("c/d2", { x: 3 });
    await statsWhen(gateway, ({ ingest }) => ingest.accepted === 2);
    expect((await gateway.stats()).ingest.received).toBe(before + 1);
    await gateway.stop();
    await say("a/d1", { right: { x: 4 } });
    await say("c/d2", { x: 5 });
    await start('[[mapping]]\ntopic = "c/{device}"\nproof = "broker"\n');
    await statsWhen(gateway, ({ ingest }) => ingest.accepted === 3);
    expect((await gateway.stats()).ingest).toMatchObject({
      received: before + 2,
      rejected: { MAPPING_MISFIT: 1, BAD_TOPIC_FORMAT: 1 },
    });
  });

  test("of a message of which only the beginning was kept, neither a try nor a replay makes an event", async () => {
    await gateway.stop();
    await start('[[mapping]]\ntopic = "c/{device}"\nname = "v"\nproof = "broker"\n');
    await say("c/d2", "x".repeat(9_000));
    const kept = async () =>
      ((await get("/admin/quarantine?reason=PAYLOAD_TOO_LARGE")) as { rows: { id: number }[] }).rows;
    await until(async () => (await kept()).length === 1);
    const [row] = await kept();
    const tried = await asked("mappings", "try", "--quarantine", String(row?.id));
    expect(tried.out).toContain("PAYLOAD_TOO_LARGE");
    expect((await asked("quarantine", "replay", "--reason", "PAYLOAD_TOO_LARGE")).out).toContain("0 of 1");
  });
});
