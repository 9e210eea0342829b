/**
 * Has aedes read a connection by pieces, and only while it is the intake's turn. By itself it takes whatever has come at one reading, which may be
 * a quarter of a million PINGREQs: with twenty such clients nobody else was heard for a minute.
 *
 * Rejected alternative: a stream of our own between socket and aedes, which every byte would pass.
 */
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { PacketWatch } from "./packet-watch.ts";

/** Of the smallest packets there is, they are the work of some 50 ms; of messages, as many as a device has at a time. */
const pieceBytes = 16_384;
/** Of CONNECT: a device need not wait for CONNACK, but of what stands behind CONNECT in one piece aedes keeps 42 packets until then, and ends the connection at one more. */
const firstPieceBytes = 64;

/** @param putsOff whether the turn is over; then it calls `goOn` in the next */
export function readByPieces(
  socket: Socket,
  watch: PacketWatch,
  putsOff: (goOn: () => void) => boolean,
): void {
  // The stream's own, which has more come once little is left. Bun's for sockets has more come at every reading, half a megabyte after a
  // piece of 16 KB: a client that sent faster than it was read was kept in memory without a bound.
  const read = Readable.prototype.read.bind(socket) as (size?: number) => Buffer | null;
  let isPutOff = false;
  /** aedes asks for more from within the handling of what it has, and its parser cannot be called from within. */
  let isAtWork = false;

  function goOn(): void {
    isPutOff = false;
    // At which aedes reads again.
    socket.emit("readable");
  }

  /** As much as has a whole packet in it: what is behind is read once that is done, and nothing would have aedes read on after less. */
  function piece(): Buffer | null {
    const before = watch.packets();
    const parts: Buffer[] = [];
    const bytes = before === 0 ? firstPieceBytes : pieceBytes;
    do {
      const part = read(Math.min(socket.readableLength, bytes));
      if (part !== null) parts.push(part);
    } while (watch.packets() === before && socket.readableLength > 0 && !socket.destroyed);
    if (socket.destroyed) return null;
    isAtWork = true;
    queueMicrotask(() => {
      isAtWork = false;
    });
    return parts.length === 1 ? (parts[0] ?? null) : Buffer.concat(parts);
  }

  // The stream itself asks with 0 for more to come, and so does it without bytes.
  socket.read = (size?: number): Buffer | null => {
    if (size === 0 || socket.readableLength === 0) return read(size);
    if (!isPutOff) isPutOff = isAtWork ? later() : putsOff(goOn);
    return isPutOff ? null : piece();
  };

  function later(): true {
    setImmediate(goOn);
    return true;
  }
}
