/** A message that came in a request, until its sender is answered. */
import type { ServerResponse } from "node:http";
import type { Message, MessageAddress, MessageOutcome } from "../core/message.ts";
import { redeliveryKey } from "../core/redelivery-key.ts";
import type { Sent } from "./http-requests.ts";

interface Sender {
  readonly response: ServerResponse;
  readonly path: string;
  readonly tokenHash: string | null;
  readonly idempotencyKey: string | null;
  readonly receivedMs: number;
}

/** Of a payload that is larger than is allowed, so much is kept. */
const headBytes = 1024;
/** Places in a batch are told apart by a packet identifier, as in MQTT; it has 16 bits, and a batch fewer messages. */
const placesMax = 65_536;

export class HttpMessage implements Message {
  readonly topic: string;
  readonly address: MessageAddress | undefined;
  readonly payload: Uint8Array;
  readonly wholeBytes: number | undefined;
  readonly dup: boolean;
  readonly retained = false;
  /** There is no CONNECT: what proves the sender is a token. */
  readonly speaker = null;
  readonly receivedMs: number;
  readonly tokenHash: string | undefined;
  outcome: MessageOutcome | null = null;
  readonly durable: Promise<void>;
  readonly noteDurable: () => void;
  readonly #sender: Sender;
  readonly #place: number;
  #isGivenUp = false;

  constructor({ topic, address, payload }: Sent, place: number, sender: Sender, payloadBytesMax: number) {
    const isWhole = payload.length <= payloadBytesMax;
    this.topic = topic;
    this.address = address;
    this.payload = isWhole ? payload : Buffer.from(payload.subarray(0, headBytes));
    this.wholeBytes = isWhole ? undefined : payload.length;
    this.receivedMs = sender.receivedMs;
    this.tokenHash = sender.tokenHash ?? undefined;
    this.dup = sender.idempotencyKey !== null;
    this.#sender = sender;
    this.#place = place % placesMax;
    ({ promise: this.durable, resolve: this.noteDurable } = Promise.withResolvers<void>());
  }

  /**
   * The token belongs to it, so that nobody who knows neither token nor payload can have another's message taken for a repeated one.
   * Without Idempotency-Key it is only for a sender that went away unanswered (`abandoned`).
   */
  redeliveryKey(): number {
    const { path, tokenHash, idempotencyKey } = this.#sender;
    const sender = `http ${path}\n${idempotencyKey ?? ""}\n${tokenHash ?? ""}`;
    return redeliveryKey({ sender, topic: this.topic, payload: this.payload, packetId: this.#place });
  }

  /** Nobody was told that it arrived. */
  abandoned(): boolean {
    return this.#isGivenUp || this.#sender.response.destroyed;
  }

  giveUp(): void {
    this.#isGivenUp = true;
  }
}
