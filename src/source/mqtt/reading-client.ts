/**
 * MQTT.js, which gets to see no PUBLISH: those our own reader takes out of the stream (packet-reader.ts). It keeps what is rare, CONNECT,
 * SUBSCRIBE, pings, goodbyes; it would read a stream by piping it into its parser, so that is where we stand. A packet is written
 * by one call and as a whole, so ours, written to the same stream, fall between its own.
 */
import type { Duplex, Writable } from "node:stream";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import type { Clock } from "../../core/clock.ts";
import { letGo } from "../../core/memory/let-go.ts";
import type { MqttMessage } from "./outstanding.ts";
import { createPacketReader } from "./packet-reader.ts";

interface Reading {
  readonly options: IClientOptions;
  readonly clock: Clock;
  payloadBytesMax(): number;
}

export interface Handlers {
  /** @returns whether more may come at once; if not, `goOn` is to be called */
  publish(message: MqttMessage): boolean;
  /** A chunk was read. @returns whether nobody needs its bytes any more */
  isRead(): boolean;
  /** A chunk was read, and there was little in it. @returns whether what comes may wait for `lastCall`, which is then called */
  mayWait(lastCall: () => void): boolean;
  /** The stream is no MQTT that we can use. */
  refuse(error: Error): void;
}

/** What came since the last reading: so little that the rest of a group's time brings less than the system holds for us. */
const littleBytes = 16_384;
/** DISCONNECT, Malformed Packet (MQTT 5 §3.14, §4.13). */
const malformed = Buffer.from([0xe0, 1, 0x81]);

export function connectReading(
  { options, clock, payloadBytesMax }: Reading,
  { publish, isRead, mayWait, refuse }: Handlers,
) {
  const client = connect({ ...options, manualConnect: true });
  const version = options.protocolVersion === 5 ? 5 : 4;
  /** What came last, and what of it is still to be read. */
  let whole: Buffer | undefined;
  let rest: Buffer | undefined;
  let parser: Writable | undefined;

  let isUnread = false;
  /** Of messages, also of one that is not complete. */
  let cameBytes = 0;
  /** As many as had come when we asked last whether the broker is there. */
  let cameBeforePing = 0;

  const reader = createPacketReader({
    version,
    payloadBytesMax,
    wallMs: () => clock.wallMs(),
    publish,
    other(packet) {
      cameBytes -= packet.length;
      const isTaken = parser?.write(Buffer.from(packet)) ?? true;
      if (!isTaken) parser?.once("drain", goOn);
      return isTaken;
    },
  });

  function read(chunk: Buffer): void {
    const failure = attempt(() => {
      rest = reader.read(chunk);
    });
    if (failure === null) return letGoOfWhole();
    if (version === 5 && !client.disconnecting) client.stream.write(malformed);
    refuse(failure);
  }

  function letGoOfWhole(): void {
    if (rest !== undefined || whole === undefined) return;
    const bytes = whole;
    whole = undefined;
    // Of a large chunk alone, and only if nothing else can lie beside it.
    if (isRead() && bytes.length >= littleBytes) letGo(bytes);
  }

  function goOn(): void {
    const held = rest;
    rest = undefined;
    if (held !== undefined) read(held);
    if (rest === undefined) client.stream.resume();
  }

  /** Reads on after `mayWait`. */
  function lastCall(): void {
    isUnread = false;
    handleOf(client.stream)?.resume();
  }

  /** The socket itself, for a stream that is paused goes on reading until its buffer is full. It asks to be read behind this turn. */
  function leaveUnread(): void {
    const handle = handleOf(client.stream);
    if (isUnread || handle === undefined || !mayWait(lastCall)) return;
    isUnread = true;
    setImmediate(() => {
      if (isUnread) handle.pause();
    });
  }

  const build = client["streamBuilder"] as (owner: MqttClient) => Duplex;
  client["streamBuilder"] = (owner: MqttClient) => {
    const stream = build(owner);
    stream.pipe = (to) => {
      parser = to as unknown as Writable;
      stream.on("data", (chunk: Buffer) => {
        whole = chunk;
        const { length } = chunk;
        cameBytes += length;
        read(chunk);
        if (rest !== undefined) stream.pause();
        else if (length < littleBytes) leaveUnread();
      });
      return to;
    };
    return stream;
  };
  // The answer to a ping stands behind a message that a slow line takes minutes for: as long as that comes in, the broker is there.
  const [ping, silent] = [client.sendPing.bind(client), client.onKeepaliveTimeout.bind(client)];
  client.sendPing = () => {
    cameBeforePing = cameBytes;
    ping();
  };
  client.onKeepaliveTimeout = () => {
    if (cameBytes === cameBeforePing) return silent();
    client.sendPing();
    client.reschedulePing(true);
  };
  client.connect();
  return { client, goOn, cameBytes: () => cameBytes };
}

/** What has come and was not handled yet goes: MQTT.js would look for it in stores that it has closed, and throw where nobody catches. */
export function mute(client: MqttClient): void {
  client["_currentPump"] = undefined;
}

interface Handle {
  pause(): void;
  resume(): void;
}

/** Bun's socket under a stream of node:net or node:tls; undefined: it has none, or none that can be paused. */
function handleOf(stream: Duplex): Handle | undefined {
  const { _handle: handle } = stream as { _handle?: Partial<Handle> | null };
  return typeof handle?.pause === "function" && typeof handle.resume === "function"
    ? (handle as Handle)
    : undefined;
}

/** What went wrong; null: nothing. */
export function attempt(work: () => void): Error | null {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
