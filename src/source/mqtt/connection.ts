/**
 * One connection to a broker, from CONNECT to its end. A new MQTT.js client for each: acknowledgements belong to a
 * connection (packet identifiers are used again after it), and so everything about them ends with this closure.
 * Rejected alternative: to let MQTT.js reconnect by itself; its interval has no jitter and its state outlives the connection.
 *
 * Messages are acknowledged by us, in groups and after the disk: PUBACK, or PUBREC if an old session still sends QoS 2 (MQTT.js then
 * answers PUBREL with PUBCOMP). Two of its own ways were rejected: it acknowledges from the callback that lets the next packet through,
 * which allows one message per fsync, and to let it read PUBLISH costs more than all that we do with it (reading-client.ts).
 */
import type { IClientOptions, IConnackPacket, MqttClient } from "mqtt";
import type { Clock, Timer } from "../../core/clock.ts";
import { explain } from "../../core/log/log.ts";
import type { Intake } from "../../core/message.ts";
import { BrokerReason, Closed } from "./words.ts";
import { answerMs } from "./options.ts";
import { lossTopic } from "./broker-losses.ts";
import { type MqttMessage, createOutstanding } from "./outstanding.ts";
import { type Overlap, createOverlap } from "./overlap.ts";
import { attempt, connectReading, mute } from "./reading-client.ts";
import { optionsFor, subscribe, type Subscribed } from "./subscribe.ts";

export interface Ready {
  readonly sessionPresent: boolean;
  /** What the broker says in CONNACK about itself (MQTT 5 §3.2.2.3). */
  readonly server: IConnackPacket["properties"];
  readonly subscribed: Subscribed;
}

export interface ConnectionSpec {
  readonly options: IClientOptions;
  readonly filters: readonly string[];
  /** What the session may have besides, and is to lose. */
  readonly obsolete: readonly string[];
  /** Notes what the session has from now on, before it is asked for and again when it was answered. May throw. */
  note(filters: readonly string[]): void;
  /** The broker may have the session already, and give again what it gave before. */
  readonly mayExist: boolean;
  /** Only such a session is wanted: else it is over with `NoSession`. */
  readonly mustExist?: boolean;
  /** The message of another session that this one is a copy of; undefined: of none. */
  originalOf?(message: MqttMessage): MqttMessage | undefined;
  readonly clock: Clock;
  readonly intake: Intake;
  /** Of a larger payload only the beginning is kept. May change. */
  payloadBytesMax(): number;
  /** The broker's count of what it dropped. */
  counted?(payload: Uint8Array): void;
  /** The first message has come; before `ready`, if the session held some for us. */
  flows(): void;
  /** Connected, and the broker has answered for every filter. */
  ready(facts: Ready): void;
  /** So many messages came by an old and by a new subscription, and were taken once. */
  takenOnce(copies: number): void;
  /** Called once, unless `close` was called first. */
  over(cause: unknown): void;
}

export interface Connection {
  /** Sends the acknowledgements of the durable prefix, in one write. */
  acknowledge(): void;
  /** Ignores, and so does not acknowledge, what comes from now on: the broker keeps it for the session. */
  stopIntake(): void;
  /** Says goodbye without ending the session. Resolves when closed, at the latest after 2 s. */
  close(): Promise<void>;
  /** Subscribes once more: what the broker had given before has come when it answers. `done` also if it does not. */
  roundTrip(done: () => void): void;
  /** Asks the broker what it drops; `told` once it agrees to tell. One that does not may say so, be silent, or end the connection. */
  askLosses(told: () => void): void;
  /** Takes the filters back; `done` when the broker has answered. */
  unsubscribe(done: () => void): void;
  /**
   * Publishes a retained message. The first is to be acknowledged, so that a refusal is heard of; a goodbye would wait for one that is not.
   * @param told with why the broker will not have it, or with nothing
   * @returns whether there is to be an answer
   */
  publish(topic: string, payload: string, told: (refusal?: string) => void): boolean;
  /** Breaks the connection off; `over` is called as for any that was lost. */
  abandon(why: string): void;
  unacknowledged(): number;
}

const goodbyeMs = 2000;
/** How long after the answer to UNSUBSCRIBE copies may still be on their way. */
const overlapMs = 10_000;
/** How often a broker is asked again for what it refuses: somebody may have changed what this user may read. */
const askAgainMs = 60_000;
/** After so much the intake is asked whether its turn is over: to look at the clock for every message costs more than to read it. */
const askBytes = 4096;
/** What a message counts for besides its payload. */
const messageBytes = 128;

export function openConnection(spec: ConnectionSpec): Connection {
  const { clock, intake } = spec;
  const { client, goOn, cameBytes } = connectReading(spec, {
    publish: take,
    isRead() {
      const isRead = !keepsBytes;
      keepsBytes = false;
      return isRead;
    },
    mayWait: (lastCall) => taking && !ended && intake.collects(lastCall),
    refuse: (error) => end(error),
  });
  const waiting = createOutstanding(spec.mayExist);
  let taking = true;
  let answered = false;
  let ended = false;
  let hasTaken = false;
  /** A message waits, and has its payload still to be read. */
  let keepsBytes = false;
  let unasked = 0;
  let isAsked = false;
  let deadline: Timer | undefined;
  let held: Timer | undefined;

  // From the first byte on: what the session held may stand in one chunk with CONNACK, and is taken before MQTT.js tells of that.
  let both: Overlap | undefined = spec.obsolete.length > 0 ? createOverlap() : undefined;
  let overlapping: Timer | undefined;

  let asking: Timer | undefined;

  const stopTimers = () => {
    for (const timer of [deadline, held, overlapping, asking]) timer?.cancel();
  };
  const end = (cause: unknown) => {
    if (ended) return;
    ended = true;
    stopTimers();
    mute(client);
    client.end(true);
    spec.over(cause);
  };
  /** It may stand behind all that the session held for us; as long as that comes in, the broker is there. */
  const expectAnswer = () => {
    const before = cameBytes();
    deadline = clock.after(answerMs, () => {
      if (held !== undefined || cameBytes() > before) expectAnswer();
      else end(new Error(`no answer to SUBSCRIBE within ${answerMs} ms`));
    });
  };
  /** What it lets us have now comes with a new connection, at which all is said anew. */
  const askAgain = (refused: readonly string[]) => {
    for (const filter of refused)
      client.subscribe(filter, optionsFor([filter]), (error) => {
        if (!error) end(new Error(`the broker lets us subscribe to ${filter} now: connecting anew`));
      });
  };
  /** Only now are the old filters forgotten: if we end before, copies may still come at the next connect. */
  const endOverlap = (copies: number, kept: readonly string[]) => {
    both = undefined;
    attempt(() => spec.note([...spec.filters, ...kept]));
    if (copies > 0) spec.takenOnce(copies);
  };
  client.on("error", end);
  client.on("disconnect", ({ reasonCode, properties }) =>
    end(new BrokerReason(reasonCode ?? 0, properties?.reasonString)),
  );
  client.on("close", () => end(new Closed(answered)));
  client.on("connect", ({ sessionPresent, properties: server }) => {
    answered = true;
    if (spec.mustExist && !sessionPresent) return end(new NoSession());
    // Whatever is said of the session: ActiveMQ Classic has one and says that it has none.
    const { obsolete } = spec;
    const failure = attempt(() => spec.note([...spec.filters, ...obsolete]));
    if (failure) return end(failure);
    expectAnswer();
    subscribe(client, spec.filters, obsolete, (error, subscribed) => {
      if (ended) return;
      deadline?.cancel();
      if (error !== null || subscribed === undefined) return end(error);
      const { refused } = subscribed;
      if (refused.length > 0) asking = clock.every(askAgainMs, () => askAgain(refused));
      const copies = both?.copies;
      if (copies) overlapping = clock.after(overlapMs, () => endOverlap(copies(), subscribed.kept));
      spec.ready({ sessionPresent, server, subscribed });
    });
  });

  function hold(): void {
    held = keepAwake(client, clock);
    intake.whenRoom(() => {
      held?.cancel();
      held = undefined;
      goOn();
    });
  }

  /** @returns whether more may come at once */
  function take(message: MqttMessage): boolean {
    if (!taking || ended) return true;
    // No device's, also if a session was subscribed to it by an earlier start.
    if (message.qos === 0 && message.topic === lossTopic) {
      spec.counted?.(message.payload);
      return true;
    }
    if (!hasTaken) spec.flows();
    hasTaken = true;
    if (message.qos > 0) waiting.push(message);
    const original = both?.originalOf(message) ?? spec.originalOf?.(message);
    if (original === undefined) {
      if (!intake.receive(message)) keepsBytes = true;
    } else {
      // Acknowledged in its turn, and so not before the original is on the disk; to the intake it is that one once more.
      message.isDurable = true;
      intake.receive(original.again());
      acknowledge();
    }
    // Whatever its QoS: the window of QoS 1 and 2 bounds messages, not bytes.
    if (intake.isFull()) {
      hold();
      return false;
    }
    unasked += messageBytes + message.payload.length;
    if (unasked < askBytes) return true;
    unasked = 0;
    return !intake.putsOff(goOn);
  }

  function acknowledge(): void {
    if (ended) return;
    const acks = waiting.takeAcks();
    if (acks !== undefined) client.stream.write(acks);
  }

  return {
    acknowledge,
    stopIntake: () => {
      taking = false;
    },
    close() {
      if (ended) return Promise.resolve();
      ended = true;
      stopTimers();
      mute(client);
      return goodbye(client, clock);
    },
    roundTrip(done) {
      client.subscribe([...spec.filters], optionsFor(spec.filters), () => done());
    },
    askLosses(told) {
      if (!ended) client.subscribe(lossTopic, { qos: 0 }, (error) => error ?? told());
    },
    unsubscribe(done) {
      if (spec.filters.length === 0) return done();
      client.unsubscribe([...spec.filters], (error) => {
        if (error) end(error);
        else if (!ended) done();
      });
    },
    publish(topic, payload, told) {
      if (ended) return false;
      const isFirst = !isAsked;
      isAsked = true;
      client.publish(topic, payload, { qos: isFirst ? 1 : 0, retain: true }, (error) => {
        if (isFirst && !ended) told(error ? explain(error) : undefined);
      });
      return isFirst;
    },
    abandon: (why) => end(new Error(why)),
    unacknowledged: () => waiting.size(),
  };
}

/** The broker has no session of that client id. */
export class NoSession extends Error {
  constructor() {
    super("the broker has no such session");
  }
}

/**
 * While we do not read, we cannot see the answers to our pings either. So that neither side takes that for silence:
 * go on pinging, in the time that the broker may have set instead of ours (MQTT 5 §3.2.2.3.14), and push our own deadline back.
 */
function keepAwake(client: MqttClient, clock: Clock): Timer {
  return clock.every((client.keepalive * 1000) / 3, () => {
    client.sendPing();
    client.reschedulePing(true);
  });
}

function goodbye(client: MqttClient, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(goodbyeMs, () => {
      client.stream.destroy();
      resolve();
    });
    // A goodbye would wait for answers, which nobody reads any more and a broker may owe for ever.
    for (const id of Object.keys(client.outgoing)) client.removeOutgoingMessage(Number(id));
    // Before CONNACK it would wait in the library's queue.
    client.end(!client.connected, {}, () => {
      timer.cancel();
      resolve();
    });
  });
}
