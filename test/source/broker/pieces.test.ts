import { afterEach, expect, test } from "bun:test";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { readByPieces } from "../../../src/source/broker/pieces.ts";
import { until } from "../../kit/until.ts";

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

const MiB = 1024 * 1024;

test("what a client sends faster than it is read waits at the client", async () => {
  let packets = 0;
  const watch = { see: () => undefined, unfinishedBytes: () => 0, packets: () => ++packets, startOver() {} };
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer((socket) => {
    readByPieces(socket, watch, () => false);
    socket.on("readable", () => {});
    resolve(socket);
  });
  await new Promise<void>((bound) => void server.listen(0, "127.0.0.1", bound));
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  ends.push(
    () => server.close(),
    () => client.destroy(),
  );
  client.on("error", () => {});
  const chunk = Buffer.alloc(MiB);
  for (let i = 0; i < 64; i++) client.write(chunk);

  const socket = await promise;
  let read = 0;
  await until(() => {
    read += (socket.read() as Buffer | null)?.length ?? 0;
    return read > MiB;
  });
  expect(socket.readableLength).toBeLessThan(4 * MiB);
});
