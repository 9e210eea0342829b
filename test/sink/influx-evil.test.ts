/**
 * A server that does not speak HTTP, or breaks off anywhere: each request is an outage with a message, and none ends
 * the process.
 */
import { expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { systemClock } from "../../src/core/clock.ts";
import { createHttp } from "../../src/sink/influx/http.ts";
import { endsAfterEach } from "../kit/ends.ts";

const ends = endsAfterEach();

const misdeeds: Readonly<Record<string, (socket: Socket) => void>> = {
  "closes at once": (socket) => void socket.end(),
  "resets at once": (socket) => void socket.resetAndDestroy(),
  "sends garbage": (socket) => void socket.end(Buffer.alloc(500, 0xfe)),
  "sends half a header": (socket) => void socket.end("HTTP/1.1 20"),
  "sends a header without end": (socket) =>
    void socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(1_000_000)}`),
  "breaks off in the body": (socket) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
  "resets in the body": (socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    setTimeout(() => socket.resetAndDestroy(), 5);
  },
  "sends a chunk of no length": (socket) =>
    void socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
  "says gzip and sends none": (socket) =>
    void socket.end("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf"),
  "answers for ever": (socket) => {
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const more = setInterval(() => socket.write(`4000\r\n${"x".repeat(0x4000)}\r\n`), 1);
    socket.on("close", () => clearInterval(more));
  },
  "never answers": () => {},
};

test.each(["http", "https"])(
  "%s",
  async (scheme) => {
    for (const [name, misdeed] of Object.entries(misdeeds)) {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => misdeed(socket));
      });
      await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
      ends.push(() => server.close());
      const { port } = server.address() as { port: number };
      const http = createHttp({
        base: `${scheme}://127.0.0.1:${port}`,
        timeoutMs: 200,
        clock: systemClock,
        fetch,
      });
      const answer = await http({ method: "POST", path: "/write", body: "x v=1 1" }).then(
        ({ text }) => text,
        (error: Error) => error.message,
      );
      expect(answer, name).toContain(`InfluxDB at ${scheme}://127.0.0.1:${port}`);
    }
  },
  60_000,
);
