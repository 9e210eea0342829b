/**
 * How many requests one connection has under way. A sender need not wait for an answer before it sends the next (RFC 9112, 9.3.2), and
 * the server hands over all that it has read, up to half a megabyte of them in one turn: ten connections took 1.5 GB and held the thread
 * for three seconds. To answer those beyond the bound would read on all the same, so their connection ends.
 */
import type { Socket } from "node:net";
import type { Warn } from "../../core/log/throttled-warn.ts";

/** Who sends ahead does so to save round trips, and most of those are saved by few. A batch saves more. */
const requestsAheadMax = 16;

export interface Pipelines {
  /** False: it has as many as it may, and was ended. Else `leave` is to be called once it is answered. */
  enter(socket: Socket): boolean;
  leave(socket: Socket): void;
}

export function createPipelines(warn: Warn): Pipelines {
  const underWay = new WeakMap<Socket, number>();
  const of = (socket: Socket) => underWay.get(socket) ?? 0;
  return {
    enter(socket) {
      if (of(socket) >= requestsAheadMax) {
        const why = `it sent more than ${requestsAheadMax} requests without waiting for an answer`;
        warn({ remote: socket.remoteAddress }, `a connection was closed: ${why}`);
        socket.destroy();
        return false;
      }
      underWay.set(socket, of(socket) + 1);
      return true;
    },
    leave(socket) {
      // In the next turn: what can be answered at once would else never count.
      setImmediate(() => underWay.set(socket, of(socket) - 1));
    },
  };
}
