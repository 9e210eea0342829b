/** Mappings at the embedded broker: who may publish on their topics, and for whom. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { cleanUp, device, idsOf } from "../kit/embedded.ts";
import { type InProcess, registered, startInProcess, stopAll, tokenFor } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";
import { publishPacket } from "../kit/wire.ts";

let running: InProcess;
let port: number;

const mappings = `tenant = "acme"
[[mapping]]
topic = "v1/devices/me/telemetry"
proof = "connection"
[[mapping]]
topic = "own/{device}"
proof = "connection"
[[mapping]]
topic = "site/{device}"
proof = "broker"
[[mapping]]
topic = "token/{device}"
`;

beforeEach(async () => {
  const file = join(mkdtempSync(join(tmpdir(), "sluice-mapped-")), "mappings.toml");
  writeFileSync(file, mappings);
  running = await startInProcess({ BROKER_LISTEN: "127.0.0.1:0", MAPPINGS_FILE: file }, { withBroker: true });
  port = running.gateway.sourceAddress("broker")?.port ?? 0;
  await running.gateway.view.devices.add(registered(["d1", "d2"]));
});
afterEach(async () => {
  await cleanUp();
  await stopAll();
});

const d1 = { username: "acme/d1", password: tokenFor("d1") };

/** @returns the reasons of the rejects */
async function publish(
  login: typeof d1 | undefined,
  topic: string,
  payload: object,
): Promise<readonly string[]> {
  const client = await device(port, "c1", login);
  client.send(publishPacket(1, JSON.stringify(payload), { topic }));
  await until(() => idsOf(client, "puback").length === 1);
  const { ingest } = running.stats();
  expect(ingest.received).toBe(1);
  expect(running.stats().balanced).toBe(true);
  return ingest.accepted === 1 ? [] : Object.keys(ingest.rejected);
}

test.each<[string, typeof d1 | undefined, string, object, string[]]>([
  ["the device that connected speaks for itself", d1, "v1/devices/me/telemetry", { x: 1 }, []],
  ["who did not prove itself is nobody", undefined, "v1/devices/me/telemetry", { x: 1 }, ["TOKEN_MISSING"]],
  ["it may name itself", d1, "own/d1", { x: 1 }, []],
  ["it may not name another", d1, "own/d2", { x: 1 }, ["TOKEN_INVALID"]],
  ["a gateway that proved itself may speak for others, if the mapping says so", d1, "site/d2", { x: 1 }, []],
  ["an anonymous one may not", undefined, "site/d2", { x: 1 }, ["TOKEN_MISSING"]],
  ["unless it shows the device's token", undefined, "site/d2", { x: 1, provision_token: tokenFor("d2") }, []],
  [
    "a token in the message proves its device",
    undefined,
    "token/d2",
    { x: 1, provision_token: tokenFor("d2") },
    [],
  ],
  ["and no other", d1, "token/d2", { x: 1, provision_token: tokenFor("d1") }, ["TOKEN_INVALID"]],
])("%s", async (_, login, topic, payload, reasons) => {
  expect(await publish(login, topic, payload)).toEqual(reasons);
});

test("a device that proved itself still may not publish on a topic without a mapping", async () => {
  const client = await device(port, "c1", d1);
  client.send(publishPacket(1, "{}", { topic: "elsewhere/d1" }));
  await until(() => client.closed());
  expect(running.stats().ingest.received).toBe(0);
});
