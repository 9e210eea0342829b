/** A device at the embedded broker that sends one reading again and again while the intake is held. */
import { join } from "node:path";
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { openPostgres } from "../../src/store/postgres/postgres-client.ts";
import { localStore, postgresSink } from "../kit/stores.ts";
import { cleanUp, device, idsOf } from "../kit/embedded.ts";
import { endLater, registered, scratch, startInProcess, stopAll, telemetry } from "../kit/inprocess.ts";
import { until } from "../kit/until.ts";
import { publishPacket } from "../kit/wire.ts";

afterEach(async () => {
  await cleanUp();
  await stopAll();
});

const body = (id: string, seq: number, changes = {}) =>
  new TextDecoder().decode(telemetry(id, seq, changes).payload);
const topic = (id: string) => ({ topic: `tenant/acme/device/${id}/telemetry` });

test("on a new connection and with a new packet identifier each time: nothing is kept of the tries that it gave up", async () => {
  const local = localStore({ path: join(scratch(), "registry.db"), clock: systemClock });
  // No server listens there: nothing is delivered, and so the spool becomes full.
  const db = openPostgres({ url: "postgres://sluice@127.0.0.1:1/none", poolMax: 2, timeoutMs: 2_000 });
  const store = { ...local, tables: postgresSink(db) };
  endLater(() => db.close());
  await store.registry.add(registered(["d1", "d2"]));
  const { gateway, stats } = await startInProcess(
    {
      BROKER_LISTEN: "127.0.0.1:0",
      SPOOL_MAX_BYTES: "65536",
    },
    { withBroker: true, store },
  );
  const port = gateway.sourceAddress("broker")?.port ?? 0;
  const filler = await device(port, "filler");
  let sent = 0;
  while (stats().ingest["held"] === null) {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(3_000))).toString("base64");
    filler.send(publishPacket(++sent, body("d2", sent, { noise }), topic("d2")));
    await Bun.sleep(20);
  }
  const waiting = () => Number(Object(stats()["source"]).unacknowledged);
  await until(() => waiting() > 0 && waiting() + idsOf(filler, "puback").length === sent);
  const before = { received: stats().ingest.received, waiting: waiting() };
  for (let tries = 1; tries <= 20; tries++) {
    const client = await device(port, "client-d1");
    client.send(publishPacket(tries, body("d1", 1), topic("d1")));
    await until(() => waiting() === before.waiting + 1);
    client.socket.destroy();
    await until(() => waiting() === before.waiting);
  }
  // Meanwhile the broker hands nothing over, so the intake has neither a first nor a second copy to recognise
  // (test/intake/retries.test.ts).
  const { ingest, balanced } = stats();
  expect(balanced).toBe(true);
  expect(ingest.received).toBe(before.received);
  expect(ingest["held"]).not.toBeNull();
});
