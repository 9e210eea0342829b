/** What comes behind CONNECT before the broker knows from whom: byte by byte, on a connection that the test feeds. */
import { afterEach, expect, test } from "bun:test";
import { Aedes } from "aedes";
import { generate } from "mqtt-packet";
import { Duplex } from "node:stream";
import { systemClock } from "../../../src/core/clock.ts";
import { createIntakeGate } from "../../../src/source/broker/intake.ts";
import { createBrokerRules } from "../../../src/source/broker/rules.ts";
import { brokerSettings } from "../../../src/source/broker/settings.ts";
import { cleanUp, endLater } from "../../kit/embedded.ts";
import { fakeIntake, settingsOf, until } from "../../kit/source.ts";
import { connectPacket, publishPacket } from "../../kit/wire.ts";

afterEach(cleanUp);

const nextTick = () => new Promise<void>((resolve) => process.nextTick(resolve));

/** CONNECT, and a message before the next turn of the event loop, in which the broker begins to ask who it is. */
async function early(isRight: boolean) {
  const intake = fakeIntake();
  const gate = createIntakeGate(() => {});
  gate.open(intake);
  const settings = settingsOf(brokerSettings, { BROKER_REQUIRE_AUTH: "1" });
  const authenticate = () => Promise.resolve(isRight);
  const options = { settings, clock: systemClock, warn() {}, welcome() {}, authenticate };
  const aedes = new Aedes(createBrokerRules(options, gate).aedes);
  aedes.on("connectionError", () => {});
  await aedes.listen();
  endLater(() => new Promise<void>((resolve) => aedes.close(resolve)));
  const wire = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  aedes.handle(wire);
  wire.push(generate(connectPacket("c1", { username: "acme/d1", password: "tok" })));
  await nextTick();
  wire.push(generate(publishPacket(1, "early")));
  return { intake, wire };
}

test("a message right behind CONNECT is heard once its sender is known", async () => {
  const { intake } = await early(true);
  await until("the message", () => intake.messages.length === 1);
  expect(intake.messages[0]?.speaker).toMatchObject({ tenantId: "acme", deviceId: "d1" });
});

test("of somebody who is refused nothing is heard", async () => {
  const { intake, wire } = await early(false);
  await until("the end of its connection", () => wire.destroyed);
  expect(intake.messages).toEqual([]);
});
