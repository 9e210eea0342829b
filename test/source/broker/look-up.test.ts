/** While it is looked up who a client is, nothing of it is read. However that ends, it is then either read on or gone. */
import { afterEach, expect, test } from "bun:test";
import { generate } from "mqtt-packet";
import { cleanUp, embeddedBroker, endLater, returnCodeOf } from "../../kit/embedded.ts";
import { simulatedClock } from "../../kit/clock.ts";
import { recordingLog, until } from "../../kit/source.ts";
import { connectPacket, publishPacket, wireClient } from "../../kit/wire.ts";

afterEach(cleanUp);

/** Clients that are being looked up, with a message behind CONNECT; `answers`: of the look-ups, in their order. */
async function lookedUp(count = 1) {
  const answers: PromiseWithResolvers<boolean>[] = [];
  const authenticate = () => {
    const answer = Promise.withResolvers<boolean>();
    answers.push(answer);
    return answer.promise;
  };
  const clock = simulatedClock();
  const { log, lines } = recordingLog();
  const { source, intake, port } = await embeddedBroker({}, { authenticate, clock, log });
  const clients = [];
  for (let n = 1; n <= count; n += 1) {
    const client = await wireClient(port);
    endLater(() => client.socket.destroy());
    client.send(
      connectPacket("c1", { username: "acme/d1", password: "tok" }),
      publishPacket(1, `of ${n}`, { qos: 0 }),
    );
    await until("the look-up", () => answers.length === n);
    clients.push(client);
  }
  const heard = () => intake.messages.map(({ payload }) => Buffer.from(payload).toString());
  const connections = () => Number(/(\d+) connection/.exec(source.status().detail)?.[1]);
  return { answers, clock, clients, heard, connections, lines };
}
type Answer = PromiseWithResolvers<boolean>;

test.each<[string, number, (answer: Answer) => void]>([
  ["it is refused", 4, ({ resolve }) => resolve(false)],
  ["the look-up fails", 3, ({ reject }) => reject(new Error("no registry"))],
])("%s: CONNACK says %d, and it is gone unheard", async (_, returnCode, give) => {
  const { answers, clock, clients, heard, connections } = await lookedUp();
  for (const answer of answers) give(answer);
  await until("it is gone", async () => {
    await clock.pass(100);
    return connections() === 0;
  });
  const [client] = clients;
  await until("it knows", () => client?.closed() === true);
  expect(client && returnCodeOf(client)).toBe(returnCode);
  expect(heard()).toEqual([]);
});

test("the look-up never ends: it is gone after a time", async () => {
  const { clock, clients, heard, connections, lines } = await lookedUp();
  await clock.pass(12_000);
  await until("it is gone", () => connections() === 0 && clients.every(({ closed }) => closed()));
  expect(heard()).toEqual([]);
  expect(lines.map(({ msg }) => msg).join("\n")).not.toContain("no CONNECT");
});

test.each([true, false])(
  "it leaves meanwhile, and would have been let in (%p): nothing of it stays",
  async (is) => {
    const { answers, clock, clients, connections } = await lookedUp();
    for (const { socket } of clients) socket.end(generate(publishPacket(2, "the last", { qos: 0 })));
    for (const { resolve } of answers) resolve(is);
    await until("it is gone", async () => {
      await clock.pass(100);
      return connections() === 0;
    });
  },
);

test("two with one client id: who is let in later has it, and is read on", async () => {
  const { answers, clients, heard } = await lookedUp(2);
  const [older, newer] = clients;
  answers[1]?.resolve(true);
  await until("the newer", () => heard().includes("of 2"));
  answers[0]?.resolve(true);
  await until("the older", () => heard().includes("of 1"));
  await until("one goes", () => newer?.closed() === true);
  older?.send({ cmd: "pingreq" });
  await until("PINGRESP", () => older?.packets.some(({ cmd }) => cmd === "pingresp") === true);
});

test("several with one client id that are let in at once, while another has it: only the last stays", async () => {
  const { answers, clients, heard, connections } = await lookedUp(3);
  const [first, , last] = clients;
  answers[0]?.resolve(true);
  await until("the first", () => heard().includes("of 1"));
  first?.send({
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "tenant/acme/device/d1/#", qos: 0 }],
  });
  await until("SUBACK", () => first?.packets.some(({ cmd }) => cmd === "suback") === true);
  for (const { resolve } of answers) resolve(true);
  await until("one is left", () => connections() === 1);
  last?.send({ cmd: "pingreq" });
  await until("PINGRESP", () => last?.packets.some(({ cmd }) => cmd === "pingresp") === true);
});
