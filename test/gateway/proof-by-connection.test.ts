/** A device that proved itself at CONNECT to the embedded broker needs no token in its messages, nor names and site; by password and by certificate. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { runCommand } from "../kit/command.ts";
import { type InProcess, registered, scratch, startInProcess, stopAll, tokenFor } from "../kit/inprocess.ts";
import { freePort } from "../kit/port.ts";
import { type Certificates, makeCertificates } from "../kit/tls.ts";
import { until } from "../kit/until.ts";

let running: InProcess;
const clients: MqttClient[] = [];
let certificates: Certificates | undefined;
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
  await stopAll();
  certificates?.remove();
  certificates = undefined;
});

const d1 = { tenantId: "acme", deviceId: "d1" };
const topic = "tenant/acme/device/d1/telemetry";
const reading = '{"metrics":{"temp_c":21.5}}';

async function start(env: Record<string, string> = {}): Promise<void> {
  running = await startInProcess({ BROKER_LISTEN: "127.0.0.1:0", ...env }, { withBroker: true });
  await running.gateway.view.devices.add(registered(["d1", "d2"]));
}

async function connected(options: IClientOptions): Promise<MqttClient> {
  const { port } = running.gateway.sourceAddress("broker") ?? { port: 0 };
  const at = { host: "127.0.0.1", port, protocolVersion: 4, reconnectPeriod: 0, ...options } as const;
  const client = await connectAsync(at);
  client.on("error", () => {});
  clients.push(client);
  return client;
}

const login = { username: "acme/d1", password: tokenFor("d1") };
const accepted = () => running.stats().ingest.accepted;
const rejected = () => running.stats().ingest.rejected;

async function rows(): Promise<unknown[]> {
  await until(() => running.stats().sinks["local"]?.waiting === 0);
  const db = new Database(join(running.dataDir, "local.db"), { readonly: true });
  const found = db.query("SELECT tenant_id, device_id, site_id, accepted FROM raw_events").all();
  db.close();
  return found;
}

describe("by password", () => {
  test("a message without token, names and site is the device's, at the site that the registry says", async () => {
    await start();
    await (await connected(login)).publishAsync(topic, reading, { qos: 1 });
    expect(await rows()).toMatchObject([{ tenant_id: "acme", device_id: "d1", site_id: "lab-1" }]);
    expect(rejected()).toEqual({});
  });

  test("a token in the payload must be right all the same, and so must a site", async () => {
    await start();
    const client = await connected(login);
    const say = (more: object) =>
      client.publishAsync(topic, JSON.stringify({ metrics: { a: 1 }, ...more }), { qos: 1 });
    await say({ provision_token: "tok-wrong", site_id: "lab-1" });
    await say({ site_id: "elsewhere" });
    await say({ site_id: 7 });
    expect(rejected()).toEqual({
      TOKEN_INVALID: 1,
      SITE_MISMATCH_REGISTRY_VS_PAYLOAD: 1,
      MISSING_SITE_ID: 1,
    });
  });

  test("a client that proved nothing needs the token as before", async () => {
    await start();
    await (await connected({})).publishAsync(topic, '{"site_id":"lab-1","metrics":{"a":1}}', { qos: 1 });
    expect(rejected()).toEqual({ TOKEN_MISSING: 1 });
  });

  test("with BROKER_TENANT the device alone is the user name", async () => {
    await start({ BROKER_TENANT: "acme", BROKER_REQUIRE_AUTH: "1" });
    await (await connected({ ...login, username: "d1" })).publishAsync(topic, reading, { qos: 1 });
    expect(accepted()).toBe(1);
    expect(connected({ ...login, username: "d2" })).rejects.toThrow(/bad username or password/i);
  });

  test("who is connected is told with its device, as long as it is; who proved nothing is nobody's", async () => {
    await start();
    const url = `http://${running.gateway.httpAddress()}`;
    const told = async () => {
      const { out } = await runCommand(["devices", "list", "--json", "--gateway", url], { env: {} });
      return (JSON.parse(out) as { connections: unknown }[]).map(({ connections }) => connections);
    };
    const own = { remote: "127.0.0.1", since: expect.stringMatching(/^20/) as string };
    await connected({});
    expect(await told()).toEqual([[], []]);
    const [first] = [await connected(login), await connected(login)];
    expect(await told()).toEqual([[own, own], []]);
    await first.endAsync();
    await until(async () => ((await told())[0] as unknown[]).length === 1);
    const { out } = await runCommand(["devices", "show", "acme", "d1", "--gateway", url], { env: {} });
    expect(out).toContain(" -, connected from 127.0.0.1 ");
    for (let n = 0; n < 6; n += 1) await connected(login);
    expect(await told()).toEqual([[own, own, own, own], []]);
  });

  test("of a gateway without the embedded broker, nobody is said not to be connected", async () => {
    running = await startInProcess();
    await running.gateway.view.devices.add(registered(["d1"]));
    const url = `http://${running.gateway.httpAddress()}`;
    const { out } = await runCommand(["devices", "show", "acme", "d1", "--json", "--gateway", url], {
      env: {},
    });
    expect(JSON.parse(out)).toMatchObject({ messages: 0 });
    expect(JSON.parse(out)).not.toHaveProperty("connections");
  });
});

describe("by certificate", () => {
  async function startTls(name: string, env: Record<string, string> = {}): Promise<Certificates> {
    const made = makeCertificates(name);
    certificates = made;
    const port = await freePort();
    await start({
      BROKER_TLS_LISTEN: `127.0.0.1:${port}`,
      BROKER_TLS_CERT: made.serverCert,
      BROKER_TLS_KEY: made.serverKey,
      BROKER_TLS_CA: made.ca,
      BROKER_REQUIRE_AUTH: "1",
      ...env,
    });
    tlsPort = port;
    return made;
  }
  let tlsPort = 0;
  const shown = (made: Certificates, more: IClientOptions = {}) =>
    connected({
      protocol: "mqtts",
      port: tlsPort,
      ca: readFileSync(made.ca),
      cert: readFileSync(made.clientCert),
      key: readFileSync(made.clientKey),
      ...more,
    });

  test("a renewed BROKER_TLS_CA decides for those that connect from then on", async () => {
    const others = makeCertificates("acme/d1");
    const ca = join(scratch(), "ca.pem");
    copyFileSync(others.ca, ca);
    const made = await startTls("acme/d1", { BROKER_TLS_CA: ca });
    const trusted = (by: Certificates) =>
      shown(by, { ca: readFileSync(made.ca) }).then(
        () => true,
        () => false,
      );
    expect([await trusted(made), await trusted(others)]).toEqual([false, true]);
    copyFileSync(made.ca, ca);
    await running.gateway.reload({ mistakes: ["of no matter here"], warnings: [] });
    expect([await trusted(made), await trusted(others)]).toEqual([true, false]);
    others.remove();
  });

  test("its common name is the device: no password, no token, and its own topic alone", async () => {
    const made = await startTls("acme/d1");
    const client = await shown(made);
    await client.publishAsync(topic, reading, { qos: 1 });
    expect(await rows()).toMatchObject([{ device_id: "d1", site_id: "lab-1" }]);
    const gone = new Promise<void>((resolve) => void client.once("close", () => resolve()));
    client.publish(topic.replace("d1", "d2"), reading, { qos: 1 });
    await gone;
    expect(running.stats().ingest.received).toBe(1);
  });

  test("a revoked device is disconnected within a second, and refused at CONNECT", async () => {
    const made = await startTls("d1", { BROKER_TENANT: "acme" });
    const client = await shown(made);
    const gone = new Promise<void>((resolve) => void client.once("close", () => resolve()));
    await running.gateway.view.devices.update(d1, { status: "REVOKED" });
    await gone;
    expect(shown(made)).rejects.toThrow(/bad username or password/i);
  });

  test.each([
    ["of no device", "somebody", {}],
    ["of a device that is not registered", "acme/d9", {}],
    ["of another device than the user name", "acme/d2", { username: "acme/d1", password: tokenFor("d1") }],
  ])("a certificate %s is refused", async (_, name, more) => {
    expect(shown(await startTls(name), more)).rejects.toThrow(/refused/i);
  });

  test("a certificate of another CA, or none, proves nothing", async () => {
    const made = await startTls("acme/d1");
    const stranger = makeCertificates("acme/d1");
    const theirs = {
      cert: readFileSync(stranger.clientCert),
      key: readFileSync(stranger.clientKey),
    };
    await expect(shown(made, theirs)).rejects.toThrow(/not authorized/i);
    stranger.remove();
    await expect(connected({ protocol: "mqtts", port: tlsPort, ca: readFileSync(made.ca) })).rejects.toThrow(
      /not authorized/i,
    );
    // A password does, as before.
    const client = await connected({ protocol: "mqtts", port: tlsPort, ca: readFileSync(made.ca), ...login });
    await client.publishAsync(topic, reading, { qos: 1 });
    expect(accepted()).toBe(1);
  });

  test("a CA without TLS is a mistake of the configuration", async () => {
    certificates = makeCertificates();
    const env = { DATA_DIR: scratch(), BROKER_TLS_CA: certificates.ca };
    expect(startInProcess(env, { withBroker: true })).rejects.toThrow(
      "BROKER_TLS_CA needs BROKER_TLS_LISTEN",
    );
  });
});
