/** A device proves itself at CONNECT of the embedded broker, end to end. */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { newToken } from "../../src/core/token.ts";
import { cleanUp, device, idsOf, returnCodeOf } from "../kit/embedded.ts";
import {
  type InProcess,
  registered,
  startInProcess,
  stopAll,
  telemetry,
  tokenFor,
} from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";
import { publishPacket } from "../kit/wire.ts";

let running: InProcess;
let port: number;

beforeEach(async () => {
  running = await startInProcess(
    { BROKER_LISTEN: "127.0.0.1:0", BROKER_REQUIRE_AUTH: "1" },
    { withBroker: true },
  );
  port = running.gateway.sourceAddress("broker")?.port ?? 0;
  await running.gateway.view.devices.add(registered(["d1", "d2"]));
});
afterEach(async () => {
  await cleanUp();
  await stopAll();
});

const d1 = { tenantId: "acme", deviceId: "d1" };
const login = (id: string, password = tokenFor(id)) => ({ username: `acme/${id}`, password });
const connect = async (id: string, password?: string) =>
  returnCodeOf(await device(port, `client-${id}`, login(id, password)));
const body = (id: string, seq: number) => new TextDecoder().decode(telemetry(id, seq).payload);
const topic = (id: string) => ({ topic: `tenant/acme/device/${id}/telemetry` });

test("with its token it is accepted, and its messages are acknowledged once they are on disk", async () => {
  const client = await device(port, "c1", login("d1"));
  client.send(publishPacket(1, body("d1", 1), topic("d1")));
  await until(() => idsOf(client, "puback").length === 1);
  expect(running.stats().ingest).toMatchObject({ accepted: 1, rejected: {} });
});

test.each([
  ["a wrong token", { username: "acme/d1", password: "tok-d2" }, 4],
  ["no token", { username: "acme/d1" }, 4],
  ["an unknown device", { username: "acme/d9", password: "tok-d9" }, 4],
  ["no credentials", {}, 5],
])("%s: refused at CONNECT", async (_, credentials, code) => {
  expect(returnCodeOf(await device(port, "c1", credentials))).toBe(code);
});

test("a device that is revoked loses its connection and is refused at CONNECT from then on; its neighbour goes on", async () => {
  const client = await device(port, "c1", login("d1"));
  const neighbour = await device(port, "c2", login("d2"));
  expect([returnCodeOf(client), returnCodeOf(neighbour)]).toEqual([0, 0]);
  await running.gateway.view.devices.update(d1, { status: "REVOKED" });
  await until(() => client.closed());
  expect(await connect("d1")).toBe(4);
  neighbour.send(publishPacket(1, body("d2", 1), topic("d2")));
  await until(() => idsOf(neighbour, "puback").length === 1);
  await running.gateway.view.devices.update(d1, { status: "ACTIVE" });
  expect(await connect("d1")).toBe(0);
});

test("a fresh token opens at once, the old one does not, unless it was rotated with grace", async () => {
  expect(await connect("d1")).toBe(0);
  const [next, last] = [newToken(), newToken()];
  await running.gateway.view.devices.update(d1, { tokenHash: next.tokenHash });
  expect([await connect("d1", next.token), await connect("d1")]).toEqual([0, 4]);
  await running.gateway.view.devices.update(d1, { tokenHash: last.tokenHash, graceMs: 60_000 });
  expect([await connect("d1", last.token), await connect("d1", next.token)]).toEqual([0, 0]);
});

test("a fresh token opens at once, even before a notification of the change", async () => {
  expect(await connect("d1")).toBe(0);
  const { token, tokenHash } = newToken();
  const elsewhere = new Database(join(running.dataDir, "local.db"));
  elsewhere.run("UPDATE device_registry SET provision_token_hash = ? WHERE device_id = 'd1'", [tokenHash]);
  elsewhere.close();
  expect(await connect("d1", token)).toBe(0);
});

test("it may publish only under its own topic: a message to another's topic is refused, not counted, and ends the connection", async () => {
  const client = await device(port, "c1", login("d1"));
  client.send(publishPacket(1, body("d2", 1), topic("d2")));
  await until(() => client.closed());
  expect(idsOf(client, "puback")).toEqual([]);
  expect(running.stats().ingest.received).toBe(0);
});
