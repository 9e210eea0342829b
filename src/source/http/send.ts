/**
 * How an answer is sent. One before the end of its request's body ends the connection, and not at once (RFC 9112, 9.6): what then comes
 * would be answered by a reset, and a sender that reads only when it has sent all would never see the answer, and try for ever. So the
 * rest is read and dropped, within bounds.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../../core/clock.ts";
import type { Reply } from "./answers.ts";

/** How long the rest of a body may take; a place among the connections is all that it holds. */
const lingerMs = 30_000;
/** A smaller piece counts as much: each is an event. */
const pieceBytes = 512;

export type Send = (response: ServerResponse, reply: Reply) => void;

/**
 * @param droppedMax bytes of a body that are read for nothing
 * @param ends is told of a connection that ends with its answer
 */
export function createSend(clock: Clock, droppedMax: number, ends: (socket: Socket) => void): Send {
  return (response, { status, headers, body }) => {
    if (response.destroyed) return;
    // Else it would come in chunks, which simple senders cannot read; and so a sender has all of it before the end of the connection.
    const length = { "content-length": String(Buffer.byteLength(body)) };
    if (response.req.complete) {
      response.writeHead(status, { ...headers, ...length }).end(body);
      return;
    }
    ends(response.req.socket);
    response.writeHead(status, { ...headers, ...length, connection: "close" });
    response.write(body);
    const patience = clock.after(lingerMs, () => response.end());
    response.on("close", () => patience.cancel());
    dropRest(response.req, droppedMax, () => response.end());
  };
}

function dropRest(request: IncomingMessage, bytesMax: number, over: () => void): void {
  let left = bytesMax;
  request.on("data", (chunk: Buffer) => {
    left -= Math.max(chunk.length, pieceBytes);
    // What has been read already would else come all the same.
    if (left < 0) request.socket.destroy();
  });
  request.on("end", over);
  request.on("error", over);
}
