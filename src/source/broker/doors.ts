/**
 * Who may come in at the embedded broker, and what all of them together may make it hold: counted from the TCP accept on, before
 * TLS and before CONNECT, since who says nothing costs a descriptor too.
 *
 * Bounds: connections in all, below what the process has of descriptors, so that HTTP, spool and sinks always have theirs; per
 * address, as long as nobody behind it has proved himself, a part of that; time for the handshake, for CONNECT and for the rest of a
 * packet; a small packet before CONNACK; and one budget of bytes for all packets that are not complete: if it is passed,
 * whoever holds most of it goes. (Rejected alternative: a bound per connection alone, which times ten thousand is all memory.)
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "../../core/clock.ts";
import { networkOf } from "../../core/net/attempts.ts";
import { connectionsWithin } from "../../core/memory/descriptors.ts";
import type { Warn } from "../../core/log/throttled-warn.ts";
import { watchPackets, type PacketWatch } from "./packet-watch.ts";

export interface DoorsOptions {
  readonly connectionsMax: number;
  /** Of the connections for which there are descriptors. */
  readonly part: number;
  /** The largest packet of a device that is let in; asked at every packet. */
  readonly packetBytesMax: () => number;
  /** Asked for at each look: it sent something that has not been read. */
  readonly unread: (socket: Socket) => void;
  /** A part of a packet came, and not its end: it is no silence, however long the rest takes. */
  readonly comesIn: (socket: Socket) => void;
  readonly clock: Clock;
  readonly warn: Warn;
}

export interface Doors {
  /** At the TCP accept. False: there is no room, and the connection is destroyed. */
  enter(socket: Socket): boolean;
  /** The handshake is over, if there is one: from now on its bytes are MQTT. Once per connection; undefined: it has gone. */
  watch(socket: Socket): PacketWatch | undefined;
  /** CONNACK was sent. `proved`: to somebody who is who he says. */
  welcome(socket: Socket, proved: boolean): void;
  /** It is there: it was let in, and not sent away since. */
  has(socket: Socket): boolean;
  /** Connections that are there. */
  count(): number;
  /** Connections that there was no room for, or that ended no TLS handshake in time; since the start. */
  turnedAway(): number;
  sockets(): Iterable<Socket>;
  close(): void;
}

/** Of all connections, those of one address of which none has proved itself. */
const strangersShare = 0.25;
/** Before CONNACK, and of what is no PUBLISH: CONNECT with client id, user name, password and a will of ordinary size. */
const smallBytesMax = 16_384;
/** PINGREQ, SUBSCRIBE and the like of one connection: a device pings once a minute, and may subscribe to few filters. */
const othersPerSecondMax = 100;
const connectMs = 10_000;
/** The rest of a packet may take longer as long as so much of it comes in each of these times, as over a slow line. */
const packetMs = 30_000;
const packetBytesMin = 3_000;
/** Of packets that are not complete, all connections together. */
export const unfinishedBytesMax = 64 * 1024 * 1024;
/** What is bounded per second is bounded from one look to the next. */
const lookEveryMs = 1_000;

interface Visitor {
  readonly address: string;
  readonly sinceMs: number;
  isIn: boolean;
  proved: boolean;
  watch: PacketWatch | undefined;
  /** Since when the rest of the packet that is not complete is waited for; undefined if none is. */
  unfinishedSinceMs: number | undefined;
  /** Bytes of it that had come by then. */
  unfinishedBefore: number;
  unfinished: number;
  /** How many had come whole by then. */
  packets: number;
}

export function createBrokerDoors({
  connectionsMax,
  part,
  packetBytesMax,
  unread,
  comesIn,
  clock,
  warn,
}: DoorsOptions): Doors {
  const visitors = new Map<Socket, Visitor>();
  const strangers = new Map<string, number>();
  const max = connectionsWithin(connectionsMax, part);
  const strangersMax = Math.max(8, Math.floor(max * strangersShare));
  let unfinished = 0;
  let turnedAway = 0;
  let timer: Timer | undefined;

  function enter(socket: Socket): boolean {
    const address = networkOf(socket.remoteAddress ?? "");
    const ofAddress = strangers.get(address) ?? 0;
    const why = whyFull(ofAddress);
    // An error of a connection that nobody listens to would end the process.
    socket.on("error", () => {});
    if (why !== undefined) {
      turnedAway += 1;
      warn({ remote: address }, `connection refused: ${why}`);
      socket.destroy();
      return false;
    }
    timer ??= clock.every(lookEveryMs, look);
    strangers.set(address, ofAddress + 1);
    visitors.set(socket, {
      address,
      sinceMs: clock.monoMs(),
      isIn: false,
      proved: false,
      watch: undefined,
      unfinishedSinceMs: undefined,
      unfinishedBefore: 0,
      unfinished: 0,
      packets: 0,
    });
    socket.once("close", () => leave(socket));
    return true;
  }

  function whyFull(ofAddress: number): string | undefined {
    if (visitors.size >= max)
      return `${max} are there already (BROKER_MAX_CONNECTIONS, or the descriptors that the process may have)`;
    if (ofAddress < strangersMax) return undefined;
    return `${strangersMax} of its address are there that have not proved themselves`;
  }

  function leave(socket: Socket): void {
    const visitor = visitors.get(socket);
    if (visitor === undefined) return;
    visitors.delete(socket);
    unfinished -= visitor.unfinished;
    if (!visitor.proved) isNoStranger(visitor.address);
  }

  function isNoStranger(address: string): void {
    const left = (strangers.get(address) ?? 1) - 1;
    if (left > 0) strangers.set(address, left);
    else strangers.delete(address);
  }

  function watch(socket: Socket): PacketWatch | undefined {
    const visitor = visitors.get(socket);
    if (visitor === undefined) return undefined;
    const packets = watchPackets({
      bytesMax: (isPublish) => (visitor.isIn && isPublish ? packetBytesMax() : smallBytesMax),
      othersMax: othersPerSecondMax,
    });
    visitor.watch = packets;
    // Beside aedes' own reading: a `data` listener does not change the flow if there is one for `readable`.
    socket.on("data", (chunk: Buffer) => {
      const why = packets.see(chunk);
      if (why !== undefined) return end(socket, visitor, why);
      note(visitor, packets);
      if (visitor.unfinished > 0) comesIn(socket);
      if (unfinished > unfinishedBytesMax) endLargest();
    });
    return packets;
  }

  function note(visitor: Visitor, watched: PacketWatch): void {
    const [bytes, packets] = [watched.unfinishedBytes(), watched.packets()];
    unfinished += bytes - visitor.unfinished;
    // Another than before: of a device that sends without a pause hardly a piece ends where a packet does.
    if (bytes === 0 || packets !== visitor.packets)
      [visitor.unfinishedSinceMs, visitor.unfinishedBefore] = [undefined, 0];
    if (bytes > 0) visitor.unfinishedSinceMs ??= clock.monoMs();
    visitor.unfinished = bytes;
    visitor.packets = packets;
  }

  function end(socket: Socket, { address }: Visitor, why: string): void {
    warn({ remote: address }, `a client was disconnected: ${why}`);
    socket.destroy();
    leave(socket);
  }

  function endLargest(): void {
    let [largest] = visitors;
    for (const each of visitors) if (each[1].unfinished > (largest?.[1].unfinished ?? 0)) largest = each;
    if (largest) end(...largest, "it holds most of what is not complete, and there is too much of that");
  }

  /** Whoever has been silent for too long at a point where he may not be. */
  function look(): void {
    const nowMs = clock.monoMs();
    for (const [socket, visitor] of visitors) {
      visitor.watch?.startOver();
      if (socket.readableLength > 0) unread(socket);
      // The rest may be there: while the intake is held it is we who do not read.
      if (visitor.unfinishedSinceMs !== undefined && socket.readableLength > 0)
        visitor.unfinishedSinceMs = nowMs;
      const { isIn, sinceMs, unfinishedSinceMs } = visitor;
      if (!isIn && nowMs - sinceMs > connectMs) {
        if (visitor.watch === undefined) turnedAway += 1;
        end(socket, visitor, whyNotIn(visitor));
      } else if (unfinishedSinceMs !== undefined && nowMs - unfinishedSinceMs > packetMs)
        endUnlessItComes(socket, visitor);
    }
  }

  function endUnlessItComes(socket: Socket, visitor: Visitor): void {
    if (visitor.unfinished - visitor.unfinishedBefore < packetBytesMin)
      return end(socket, visitor, "it began a packet and did not end it in time");
    [visitor.unfinishedSinceMs, visitor.unfinishedBefore] = [clock.monoMs(), visitor.unfinished];
  }

  function whyNotIn({ watch: watched }: Visitor): string {
    if (watched === undefined) return "no TLS handshake in time";
    return watched.packets() > 0
      ? "the registry did not say in time who it is"
      : "it sent no CONNECT in time";
  }

  return {
    enter,
    watch,
    welcome(socket, proved) {
      const visitor = visitors.get(socket);
      if (visitor === undefined) return;
      visitor.isIn = true;
      if (proved && !visitor.proved) isNoStranger(visitor.address);
      visitor.proved ||= proved;
    },
    has: (socket) => visitors.has(socket),
    count: () => visitors.size,
    turnedAway: () => turnedAway,
    sockets: () => visitors.keys(),
    close: () => timer?.cancel(),
  };
}
