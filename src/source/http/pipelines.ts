/**
 * The requests that one connection has under way. A sender need not wait for an answer before it sends the next (RFC 9112, 9.3.2), and
 * the server hands over all that it has read, up to half a megabyte of them in one turn: ten connections took 1.5 GB and held the thread
 * for three seconds. To answer those beyond the bound would read on all the same, so their connection ends.
 */
import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Warn } from "../../core/log/throttled-warn.ts";

/** Who sends ahead does so to save round trips, and most of those are saved by few. A batch saves more. */
const requestsAheadMax = 16;

export interface Pipelines {
  /** False: its connection has as many as it may, and was ended, or is shut. Else `leave` is to be called once it is answered. */
  enter(response: ServerResponse): boolean;
  leave(response: ServerResponse): void;
  /** An answer ends the connection: what stands behind its request would be stored, and not answered. */
  shut(socket: Socket): void;
  /** What comes is no HTTP (such as the zero byte behind a text in C). That ends the connection, once all that came whole before is answered. */
  spoilt(error: Error, socket: Socket): void;
}

export function createPipelines(warn: Warn): Pipelines {
  const underWay = new WeakMap<Socket, Set<ServerResponse>>();
  /** The connections that are shut, with how many requests have come since: none of them is answered, and `own` has those that are. */
  const behind = new WeakMap<Socket, number>();
  const isSpoilt = new WeakSet<Socket>();

  return {
    enter(response) {
      const { socket } = response.req;
      const own = underWay.get(socket) ?? new Set();
      const since = behind.get(socket);
      if (since !== undefined) behind.set(socket, since + 1);
      if ((since ?? own.size) >= requestsAheadMax) {
        const why = `it sent more than ${requestsAheadMax} requests without waiting for an answer`;
        warn({ remote: socket.remoteAddress }, `a connection was closed: ${why}`);
        socket.destroy();
        return false;
      }
      if (since !== undefined) return false;
      underWay.set(socket, own.add(response));
      return true;
    },
    leave(response) {
      // In the next turn: what can be answered at once would else never count.
      setImmediate(() => underWay.get(response.req.socket)?.delete(response));
    },
    shut: (socket) => void behind.set(socket, 0),
    spoilt(error, socket) {
      // A second time it is told of what took too long, say.
      if (isSpoilt.has(socket)) return;
      isSpoilt.add(socket);
      const end = () => void socket.end(answerTo(error), () => socket.destroy());
      const owed = [...(underWay.get(socket) ?? [])].findLast(({ req, writableFinished }) => {
        return req.complete && !writableFinished;
      });
      if (owed === undefined) end();
      else owed.once("finish", end);
    },
  };
}

const statusOf: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

function answerTo(error: Error): string {
  const status = statusOf["code" in error ? String(error.code) : ""] ?? 400;
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`;
}
