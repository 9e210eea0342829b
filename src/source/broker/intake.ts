/**
 * The embedded broker's way into the intake: messages wait here while it is full, and with them their senders, each of
 * which is read one piece at a time. What waits is bounded in bytes, and a sender that leaves takes along what it had here: it
 * sends that again.
 */
import type { Client, PublishPacket } from "aedes";
import type { DeviceId } from "../../core/device.ts";
import type { Warn } from "../../core/log/throttled-warn.ts";
import type { Intake, Message, MessageOutcome } from "../../core/message.ts";
import { boundedPayload } from "../payload-head.ts";
import { redeliveryKey } from "../../core/redelivery-key.ts";

export class BrokerMessage implements Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
  mayBeAgain = false;
  readonly retained = false;
  readonly mayBeRetained: boolean;
  readonly sender: string;
  readonly packetId: number;
  readonly receivedMs: number;
  readonly wholeBytes: number | undefined;
  readonly speaker: DeviceId | null;
  outcome: MessageOutcome | null = null;
  /** null: published by the broker itself. */
  readonly #client: Client | null;
  readonly #isWill: boolean;
  readonly #goOn: () => void;
  #isAcknowledged = false;

  constructor(
    client: Client | null,
    speaker: DeviceId | null,
    packet: PublishPacket,
    receivedMs: number,
    payloadBytesMax: number,
    goOn: () => void,
  ) {
    // aedes publishes the will of a client when its connection has gone; it has no packet identifier and nobody to answer.
    this.#isWill = client === null || client.closed;
    this.topic = packet.topic;
    ({ payload: this.payload, wholeBytes: this.wholeBytes } = boundedPayload(
      bytesOf(packet),
      payloadBytesMax,
    ));
    this.qos = this.#isWill ? 0 : packet.qos;
    this.dup = !this.#isWill && packet.dup;
    this.mayBeRetained = !this.#isWill && packet.retain;
    this.sender = client?.id ?? "";
    this.packetId = this.qos === 0 ? 0 : (packet.messageId ?? 0);
    this.receivedMs = receivedMs;
    this.speaker = speaker;
    this.#client = client;
    this.#goOn = goOn;
  }

  redeliveryKey(): number | undefined {
    return this.qos === 0 ? undefined : redeliveryKey(this);
  }

  /** Its sender left before it was taken: it will send the message again. */
  abandoned(): boolean {
    return this.from?.closed === true;
  }

  /** Who sends it again if it is not acknowledged; null: nobody does, as the sender of a will has left already. */
  get from(): Client | null {
    return this.#isWill ? null : this.#client;
  }

  /** Without an acknowledgement. */
  sendAway(): void {
    this.#client?.conn.destroy();
  }

  /** Lets aedes acknowledge and pass on, once. For a client that left, that would only leave traces in aedes. */
  acknowledge(): void {
    if (!this.#isAcknowledged && !this.abandoned()) this.#goOn();
    this.#isAcknowledged = true;
  }
}

export function bytesOf({ payload }: PublishPacket): Uint8Array {
  return typeof payload === "string" ? Buffer.from(payload) : payload;
}

/** What all messages that wait for the intake may hold; a sender beyond it is disconnected, and comes back. */
export const waitingBytesMax = 64 * 1024 * 1024;
/** Of those, wills, which nobody sends again: as many as devices that go in one power cut. */
const waitingWillsMax = 10_000;
/** As a device has under way. */
const littleMax = 20;
const littleBytes = 32 * 1024;
/** Beside payload and topic, about what we and aedes keep of a message that waits. */
const waitingOverheadBytes = 1024;

const weightOf = ({ payload, topic }: BrokerMessage) => payload.length + topic.length + waitingOverheadBytes;

/** Handed over at a time: a small part of a turn. */
const handedMax = 100;

/** Messages that wait for the intake, of each sender in the order in which they came, until it leaves. */
class Waiting {
  size = 0;
  bytes = 0;
  /** A sender stays until it leaves, so that it has one listener, and not one per message. null: of wills. */
  readonly #bySender = new Map<Client | null, BrokerMessage[]>();
  /** Those that are not empty, in the order of their first. */
  readonly #filled = new Set<BrokerMessage[]>();

  hasRoomFor(message: BrokerMessage): boolean {
    if (message.from === null && this.#of(null).length >= waitingWillsMax) return false;
    return this.bytes + weightOf(message) <= waitingBytesMax;
  }

  /** Does no more of this sender wait than a device has under way? */
  hasLittleOf(sender: Client): boolean {
    const own = this.#bySender.get(sender) ?? [];
    return own.length <= littleMax && own.reduce((sum, one) => sum + weightOf(one), 0) <= littleBytes;
  }

  add(message: BrokerMessage): void {
    this.size += 1;
    this.bytes += weightOf(message);
    const own = this.#of(message.from);
    own.push(message);
    this.#filled.add(own);
  }

  /** Some of the sender that has waited longest. */
  take(): BrokerMessage[] {
    const [own = []] = this.#filled;
    return this.#take(own, handedMax);
  }

  clear(): void {
    for (const own of this.#filled) this.#take(own);
  }

  #of(sender: Client | null): BrokerMessage[] {
    const known = this.#bySender.get(sender);
    if (known !== undefined) return known;
    const own: BrokerMessage[] = [];
    this.#bySender.set(sender, own);
    sender?.conn.once("close", () => {
      this.#bySender.delete(sender);
      this.#take(own);
    });
    return own;
  }

  #take(own: BrokerMessage[], countMax = own.length): BrokerMessage[] {
    const taken = own.splice(0, countMax);
    if (own.length === 0) this.#filled.delete(own);
    this.size -= taken.length;
    for (const message of taken) this.bytes -= weightOf(message);
    return taken;
  }
}

export interface Gate {
  open(intake: Intake): void;
  /** From now on nothing is taken, and so nothing acknowledged. */
  shut(): void;
  take(message: BrokerMessage): void;
  /** As the intake's. */
  putsOff(goOn: () => void): boolean;
  /**
   * Bytes of this client are unread. While nothing is taken in they may be a ping, without whose answer it would give up the connection, and
   * we would, too: so it is read on, unless much of it waits already.
   */
  unread(client: Client): void;
  durable(messages: readonly Message[]): void;
  unacknowledged(): number;
}

export function createIntakeGate(warn: Warn): Gate {
  let intake: Intake | undefined;
  const waiting = new Waiting();
  let unacknowledged = 0;
  let isResumed = false;

  // Held, it would keep what its senders abandon, and they come again with the same.
  const hasRoom = (to: Intake) => !to.isFull() && to.held === null;

  function hand(to: Intake, message: BrokerMessage): void {
    if (message.qos > 0) unacknowledged += 1;
    to.receive(message);
    // While its device is looked up, nobody knows whether it may be passed on.
    if (message.qos === 0 && message.outcome !== null) message.acknowledge();
  }

  /** In turns: what has waited may be the work of a second. */
  function resume(): void {
    while (waiting.size > 0) {
      if (intake === undefined) return;
      if (!hasRoom(intake)) return intake.whenRoom(resume);
      if (intake.putsOff(resume)) return;
      for (const message of waiting.take()) if (!message.abandoned()) hand(intake, message);
    }
    isResumed = false;
  }

  function take(message: BrokerMessage): void {
    if (intake === undefined || message.abandoned()) return;
    if (waiting.size === 0 && hasRoom(intake)) return hand(intake, message);
    if (!waiting.hasRoomFor(message)) {
      warn(
        { max: waitingBytesMax },
        "clients are disconnected: the intake is full, and so is what may wait for it",
      );
      return message.sendAway();
    }
    waiting.add(message);
    if (isResumed) return;
    isResumed = true;
    intake.whenRoom(resume);
  }

  return {
    open: (to) => {
      intake = to;
    },
    shut() {
      intake = undefined;
      waiting.clear();
    },
    take,
    putsOff: (goOn) => intake?.putsOff(goOn) ?? false,
    unread(client) {
      if (intake === undefined || hasRoom(intake) || !client.connected || !waiting.hasLittleOf(client))
        return;
      // aedes reads a client once all is answered that it has read of it, or it is told so for each of these.
      for (let n = 0; n < littleMax; n += 1) (client as Client & { resume(): void }).resume();
    },
    durable(messages) {
      for (const message of messages) {
        if (!(message instanceof BrokerMessage)) continue;
        if (message.qos > 0) unacknowledged -= 1;
        message.acknowledge();
      }
    },
    unacknowledged: () => unacknowledged + waiting.size,
  };
}
