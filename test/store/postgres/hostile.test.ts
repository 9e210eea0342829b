/**
 * Whatever a server that is taken for PostgreSQL sends, and whenever: a call rejects or times out, and nothing is
 * thrown where nobody listens (which would end the process). A child process makes the calls, so that such a throw is
 * noticed for certain.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import net, { type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../../../src/simulator/random.ts";

setDefaultTimeout(120_000);

const caller = fileURLToPath(import.meta.resolve("../../kit/postgres-caller.ts"));

const message = (type: string, body = "") => {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(Buffer.byteLength(body, "latin1") + 4, 1);
  return Buffer.concat([head, Buffer.from(body, "latin1")]);
};
const all = (...pieces: Buffer[]) => Buffer.concat(pieces);
const error = (severity = "ERROR", code = "XX000") =>
  message("E", `S${severity}\0V${severity}\0C${code}\0Mhostile\0\0`);
const authOk = message("R", "\0\0\0\0");
const ready = message("Z", "I");
const inTransaction = message("Z", "T");
const copyIn = message("G", "\0\0\0");
const copyOut = message("H", "\0\0\0");
const done = (tag: string) => all(message("C", `${tag}\0`), inTransaction);
const welcome = all(authOk, ready);

/** What it says to the start-up, and to every later message of the client. */
interface Conduct {
  readonly start?: Buffer;
  answer?(text: string, socket: Socket): Buffer | void;
}

/** Behaves until a COPY comes. */
const untilCopy = (atCopy: (socket: Socket) => Buffer | void): Conduct => ({
  start: welcome,
  answer: (text, socket) => (text.includes("copy t") ? atCopy(socket) : done("SET")),
});
const random = seededRandom(11);
const noise = () => Buffer.from(Array.from({ length: 64 }, () => random.whole(0, 255)));

const conducts: Record<string, Conduct> = {
  "closes at once": { start: Buffer.alloc(0), answer: (_, socket) => void socket.destroy() },
  "is another protocol": { start: Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n") },
  "says that it starts up": { start: error("FATAL", "57P03") },
  "has too many clients": { start: error("FATAL", "53300") },
  "asks for SASL and sends nothing that is": {
    start: message("R", "\0\0\0\x0aSCRAM-SHA-256\0\0"),
    answer: () => message("R", "\0\0\0\x0bnonsense"),
  },
  "ends SASL before it began": { start: message("R", "\0\0\0\x0cv=x") },
  "asks for an unknown proof": { start: message("R", "\0\0\0\x63") },
  "an error with COPY's answer": untilCopy(() => all(copyIn, error(), inTransaction)),
  "an error before COPY's answer": untilCopy(() => all(error(), copyIn, inTransaction)),
  "COPY's answer, and resets": untilCopy((socket) => {
    socket.write(copyIn);
    socket.resetAndDestroy();
  }),
  "COPY's answer and the end of the server": untilCopy(() => all(copyIn, error("FATAL", "57P01"))),
  "COPY's answer twice": untilCopy(() => all(copyIn, copyIn, error(), inTransaction)),
  "COPY the other way": untilCopy(() => all(copyOut, error(), inTransaction)),
  "COPY both ways": untilCopy(() => all(message("W", "\0\0\0"), error(), inTransaction)),
  "a row for COPY": untilCopy(() => all(message("D", "\0\x01\0\0\0\x01x"), done("SELECT 1"))),
  "COPY's answer to everything": { start: welcome, answer: () => all(copyIn, error(), ready) },
  "rows that nobody asked for": { start: all(welcome, message("D", "\0\x01\0\0\0\x01x"), done("SELECT 1")) },
  "an error without fields": { start: welcome, answer: () => all(message("E", "\0"), ready) },
  "ready for ever": { start: all(welcome, ...Array.from({ length: 50 }, () => ready)), answer: () => ready },
  "a notice, a notification and a parameter that are cut short": {
    start: all(welcome, message("N", "S"), message("A", "\0"), message("S", "x"), message("K", "\0")),
    answer: () => ready,
  },
  "a message of four gigabytes": { start: all(authOk, Buffer.from("D\xff\xff\xff\xff", "latin1")) },
  "a message of no length": { start: all(authOk, Buffer.from("D\0\0\0\0")) },
  "noise after the start": { start: welcome, answer: noise },
  "noise at once": { start: noise(), answer: noise },
};

async function serve({ start, answer }: Conduct): Promise<net.Server> {
  const server = net.createServer((socket) => {
    let started = false;
    socket.on("error", () => {});
    socket.on("data", (piece) => {
      const reply = started || start === undefined ? answer?.(piece.toString("latin1"), socket) : start;
      started = true;
      if (reply && socket.writable) socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** Says "S" to a request for TLS, and then something else. */
const tlsConducts: Record<string, Conduct> = {
  "agrees to TLS and resets": {
    answer: (_, socket) => {
      socket.write("S");
      setTimeout(() => socket.resetAndDestroy(), 5);
    },
  },
  "agrees to TLS and talks nonsense": {
    answer: (text) => (text.length === 8 ? Buffer.from("S") : noise()),
  },
  "agrees to TLS and closes": {
    answer: (_, socket) => void socket.end("S"),
  },
};

async function behaves(conduct: Conduct, query = ""): Promise<void> {
  const server = await serve(conduct);
  const { port } = server.address() as AddressInfo;
  const url = `postgres://u:p@127.0.0.1:${port}/db${query}`;
  const child = Bun.spawn([process.execPath, caller, url], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = await new Response(child.stderr).text();
  expect({ code: await child.exited, said }).toEqual({ code: 0, said: "" });
  server.close();
}

describe("a server that", () => {
  test.concurrent.each(Object.keys(conducts))("%s", (name) => behaves(conducts[name] ?? {}));
  test.concurrent.each(Object.keys(tlsConducts))("%s", (name) =>
    behaves(tlsConducts[name] ?? {}, "?sslmode=require"),
  );
});
