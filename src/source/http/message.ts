/** The messages of a request, until its sender is answered and all of them are on the disk. */
import type { ServerResponse } from "node:http";
import type { DeviceId } from "../../core/device.ts";
import type { Message, MessageAddress, MessageOutcome } from "../../core/message.ts";
import { boundedPayload } from "../payload-head.ts";
import { redeliveryKey } from "../../core/redelivery-key.ts";
import type { Share } from "./body.ts";
import type { Sent } from "./requests.ts";

export interface Sender {
  /** Whose token stands in the header, which is the only proof there is; asked for a mapping's topic alone. */
  readonly speaker: DeviceId | null;
  readonly response: ServerResponse;
  /** Of its route. */
  readonly path: string;
  readonly tokenHash: string | null;
  readonly idempotencyKey: string | null;
  readonly receivedMs: number;
}

/**
 * What a request brought. Its share of the room lasts until the last message left the intake, whatever became of its sender: until
 * then they are in memory.
 */
export class Delivery {
  readonly messages: readonly HttpMessage[];
  readonly sender: Sender;
  /** False: it was given up before all were on the disk. */
  readonly isStored: Promise<boolean>;
  /** Its sender was told to come again. */
  isGivenUp = false;
  readonly #share: Share;
  readonly #resolve: (isStored: boolean) => void;
  #left: number;

  constructor(sent: readonly Sent[], sender: Sender, share: Share, payloadBytesMax: number) {
    this.sender = sender;
    this.#share = share;
    this.messages = sent.map((one, at) => new HttpMessage(one, at, this, payloadBytesMax));
    this.#left = this.messages.length;
    ({ promise: this.isStored, resolve: this.#resolve } = Promise.withResolvers<boolean>());
  }

  noteDurable(): void {
    if (--this.#left > 0) return;
    this.#share.giveBack();
    this.#resolve(true);
  }

  giveUp(): void {
    this.isGivenUp = true;
    this.#resolve(false);
  }
}

/** Places in a batch are told apart by a packet identifier, as in MQTT; it has 16 bits, and a batch fewer messages. */
const placesMax = 65_536;

export class HttpMessage implements Message {
  readonly topic: string;
  readonly address: MessageAddress | undefined;
  readonly payload: Uint8Array;
  readonly wholeBytes: number | undefined;
  readonly dup: boolean;
  readonly retained = false;
  readonly speaker: DeviceId | null;
  readonly receivedMs: number;
  readonly tokenHash: string | undefined;
  outcome: MessageOutcome | null = null;
  readonly delivery: Delivery;
  readonly #place: number;

  constructor({ topic, address, payload }: Sent, place: number, delivery: Delivery, payloadBytesMax: number) {
    const { speaker, receivedMs, tokenHash, idempotencyKey } = delivery.sender;
    this.topic = topic;
    this.address = address;
    ({ payload: this.payload, wholeBytes: this.wholeBytes } = boundedPayload(payload, payloadBytesMax));
    this.speaker = speaker;
    this.receivedMs = receivedMs;
    this.tokenHash = tokenHash ?? undefined;
    this.dup = idempotencyKey !== null;
    this.delivery = delivery;
    this.#place = place % placesMax;
  }

  /**
   * The token belongs to it, so that nobody who knows neither token nor payload can have another's message taken for a repeated one.
   * Without Idempotency-Key it is only for a sender that went away unanswered (`abandoned`).
   */
  redeliveryKey(): number {
    const { path, tokenHash, idempotencyKey } = this.delivery.sender;
    const sender = `http ${path}\n${idempotencyKey ?? ""}\n${tokenHash ?? ""}`;
    return redeliveryKey({ sender, topic: this.topic, payload: this.payload, packetId: this.#place });
  }

  /** Nobody was told that it arrived. */
  abandoned(): boolean {
    return this.delivery.isGivenUp || this.delivery.sender.response.destroyed;
  }
}
