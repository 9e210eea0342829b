/** What requests may hold together: how long they hold it, and that nobody gets more of it than there is. */
import { expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { createBodyReader, createRoom } from "../../../src/source/http/body.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { startIngest } from "../../kit/ingest-source.ts";
import { until } from "../../kit/source.ts";
import { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const ends = endsAfterEach();

const MiB = 1024 * 1024;

async function ingest() {
  const { clock, source, intake, port } = await startIngest(ends, 8 * MiB);
  const url = `http://127.0.0.1:${port}/ingest/v1/topic/a/b`;
  const post = async (body: Uint8Array | string, headers: Record<string, string> = {}) => {
    const response = await fetch(url, { method: "POST", body, headers });
    await response.text();
    return response.status;
  };
  return { clock, source, intake, post };
}

test("a request that was given up holds its share until its messages have left the intake", async () => {
  const { clock, source, intake, post } = await ingest();
  const large = new Uint8Array(8 * MiB);
  const waiting = Promise.all(Array.from({ length: 8 }, () => post(large)));
  await until("all are in the intake", () => intake.messages.length === 8);
  expect(await post("1")).toBe(429);
  intake.held = "the disk is full";
  await clock.pass(1_000);
  expect(await waiting).toEqual(Array(8).fill(503));
  intake.held = null;
  // Their senders know, but they are still in memory.
  expect(await post("1")).toBe(429);
  source.durable(intake.messages.slice(0, 1));
  const taken = post("1");
  await until("there is room", () => intake.messages.length === 9);
  source.durable(intake.messages.slice(1));
  expect(await taken).toBe(202);
});

test("a refused request gives its share back at once, however it was refused", async () => {
  const { intake, source, post } = await ingest();
  const large = new Uint8Array(8 * MiB - 1);
  for (let round = 0; round < 12; round++)
    expect(await post(large, { "content-encoding": "gzip" })).toBe(400);
  const taken = post(large);
  await until("it is in the intake", () => intake.messages.length === 1);
  source.durable(intake.messages);
  expect(await taken).toBe(202);
});

test("who holds most of a body that does not come whole gives way to who holds less", async () => {
  const room = createRoom(2_000);
  const read = createBodyReader(1_000);
  const sender = () => {
    const request = Object.assign(new EventEmitter(), { headers: {} });
    const share = room.share();
    const bytes = read(request as unknown as IncomingMessage, share).then(
      ({ length }) => length,
      (error: unknown) => Object(error)["status"] as number,
    );
    return {
      send: (n: number) => request.emit("data", Buffer.alloc(n)),
      end: () => request.emit("end"),
      bytes,
    };
  };
  const [slowest, slow, whole, late, small] = [sender(), sender(), sender(), sender(), sender()];
  slowest.send(900);
  slow.send(500);
  whole.send(600);
  whole.end();
  small.send(200);
  small.end();
  late.send(300);
  // What has come whole stays, and nobody gives way to who would hold more.
  late.send(500);
  slow.end();
  const answers = [slowest, slow, whole, late, small].map(({ bytes }) => bytes);
  expect(await Promise.all(answers)).toEqual([429, 500, 600, 429, 200]);
});

test("packed bodies that come at once get no more room than there is", async () => {
  const room = createRoom(60 * MiB);
  const read = createBodyReader(8 * MiB);
  const done: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const share = room.share();
    try {
      done.push(`${request.url ?? ""} ${(await read(request, share)).length}`);
    } catch (error) {
      done.push(`${request.url ?? ""} ${String(Object(error)["status"])}`);
      share.giveBack();
    }
    response.end();
  };
  const server = createServer((...given) => void answer(...given)).listen(0, "127.0.0.1");
  ends.push(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const whole = Buffer.alloc(8 * MiB, " ");
  const bombs = [gzipSync(whole), zstdCompressSync(whole), gzipSync(Buffer.alloc(80 * MiB))];
  const post = (n: number) =>
    fetch(`http://127.0.0.1:${port}/${n}`, {
      method: "POST",
      body: bombs[n % 3] ?? "",
      headers: { "content-encoding": n % 3 === 1 ? "zstd" : "gzip" },
    });
  await Promise.all(Array.from({ length: 15 }, (_, n) => post(n)));
  const bytes = (text: string) => text.split(" ")[1];
  expect(done.filter((text) => bytes(text) === "413")).toHaveLength(5);
  // Of the ten that are as large as they may be there is room for seven.
  expect(done.filter((text) => bytes(text) === String(8 * MiB))).toHaveLength(7);
  expect(done.filter((text) => bytes(text) === "429")).toHaveLength(3);
});
