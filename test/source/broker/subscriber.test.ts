/** A subscriber that takes nothing of what it is sent. */
import { afterEach, expect, test } from "bun:test";
import { cleanUp, device, embeddedBroker, idsOf, ping } from "../../kit/embedded.ts";
import { recordingLog, until } from "../../kit/source.ts";
import { publishPacket } from "../../kit/wire.ts";

afterEach(cleanUp);

test("who does not read is disconnected, which the log says once, and its publisher is served", async () => {
  const { log, lines } = recordingLog();
  const { port } = await embeddedBroker({}, { authenticate: () => Promise.resolve(true), log }, true);
  const login = { username: "acme/d1", password: "tok" };
  const subscriber = await device(port, "reader", login);
  subscriber.send({
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "tenant/acme/device/d1/#", qos: 0 }],
  });
  await until("SUBACK", () => idsOf(subscriber, "suback").length === 1);
  subscriber.socket.pause();
  const publisher = await device(port, "writer", login);
  const payload = "x".repeat(500_000);
  const said = () => lines.filter(({ msg }) => msg.startsWith("a client was disconnected"));
  await until("it is cut off", async () => {
    publisher.send(publishPacket(1, payload, { qos: 0 }));
    await ping(publisher);
    return said().length > 0;
  });
  await ping(publisher);
  expect(said()).toMatchObject([
    { client_id: "acme/d1:reader", msg: "a client was disconnected: it reads nothing of what it is sent" },
  ]);
});
