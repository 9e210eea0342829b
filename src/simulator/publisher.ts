/**
 * The publisher sends a fleet's messages to a broker at a given rate and keeps the sender's half of the books.
 *
 * It counts as acknowledged only what the broker answered for. What the broker has not answered by the end is
 * unanswered: it may have arrived or not, and whoever reconciles must allow for both. There is one window over all
 * connections, and messages go in the order of the fleet: simple, and it keeps each device's order, at the price that
 * a broker that is away stops everything.
 */
import { type Clock, sleep, systemClock } from "../core/clock.ts";
import { type Answer, type Connection, type Login, openConnection } from "./connection.ts";
import type { Fleet, FleetMessage } from "./fleet.ts";
import { openHttpConnection } from "./http-connection.ts";
import { createLatency, type Percentiles } from "./latency.ts";
import { createPacer } from "./pacer.ts";

const tickMs = 10;
/** Messages sent in one turn, before the event loop may read acknowledgements. */
const turnMax = 500;
/** Connections that are opened at the same time. */
const openingMax = 50;

export interface PublishOptions {
  /** mqtt, mqtts, ws or wss; http or https for HTTP ingest. */
  readonly brokerUrl: string;
  readonly fleet: Fleet;
  /** Messages per second; 0: as fast as the window allows. */
  readonly rate: number;
  readonly qos: 0 | 1 | 2;
  /** Absent: 5, and 4 (MQTT 3.1.1) where that is refused. */
  readonly protocolVersion: 4 | 5 | undefined;
  /** Stops after `seconds`, after `count` messages, or at the signal, whichever comes first. */
  readonly seconds?: number;
  readonly count?: number;
  readonly signal?: AbortSignal;
  /** The number of connections that the devices share; with as many connections as devices, each has its own. */
  readonly connections: number;
  /** The login of each connection; absent: the URL's. */
  readonly logins?: readonly Login[];
  /** The most messages without an answer, over all connections. */
  readonly window: number;
  /** The longest wait for the last answers. */
  readonly drainMs: number;
  /** Connections are named `<prefix>-<number>`. Two runs at one broker need two prefixes. */
  readonly clientIdPrefix: string;
  /** Called once a second. */
  readonly onProgress?: (counts: PublishCounts) => void;
  /** For a test's oracle: called for each message that the broker answered for. */
  readonly onAcknowledged?: (message: FleetMessage) => void;
  readonly clock?: Clock;
}

/** sent = acknowledged + refused + unanswered. For QoS 0, acknowledged means handed to the socket. */
export interface PublishCounts {
  readonly sent: number;
  readonly acknowledged: number;
  /** The broker answered that it will not take the message. */
  readonly refused: number;
  readonly unanswered: number;
  readonly elapsedMs: number;
}

export interface PublishResult extends PublishCounts {
  /** From sending to the PUBACK (QoS 1) or PUBCOMP (QoS 2). */
  readonly latency: Percentiles;
  /** Acknowledged messages per verdict that the gateway must give: "event" or a reason code. */
  readonly expected: Readonly<Record<string, number>>;
  /** The verdicts themselves, where the answer tells them: over HTTP. */
  readonly given: Readonly<Record<string, number>>;
}

/** @throws if the broker cannot be reached at the start */
export async function publishFleet(options: PublishOptions): Promise<PublishResult> {
  const clock = options.clock ?? systemClock;
  const connections = await openAll(options, clock);
  const run = createRun(options, connections, clock);
  const timers = [clock.every(tickMs, run.pump), clock.every(1000, () => options.onProgress?.(run.result()))];
  options.signal?.addEventListener("abort", run.pump);
  run.pump();
  await run.sentAll;
  await Promise.race([run.answeredAll, sleep(clock, options.drainMs)]);
  for (const timer of timers) timer.cancel();
  options.signal?.removeEventListener("abort", run.pump);
  const result = run.result();
  run.end();
  await Promise.all(connections.map((connection) => connection.close()));
  return result;
}

/** Opens all connections, or none. */
async function openAll(
  { brokerUrl, protocolVersion, connections, logins, clientIdPrefix }: PublishOptions,
  clock: Clock,
): Promise<Connection[]> {
  const open: Connection[] = [];
  const openOne = /^https?:/.test(brokerUrl) ? openHttpConnection : openConnection;
  const one = (number: number) =>
    openOne({
      brokerUrl,
      protocolVersion,
      clientId: `${clientIdPrefix}-${number}`,
      ...(logins && { login: logins[number - 1] }),
      clock,
    });
  while (open.length < connections) {
    const batch = Math.min(openingMax, connections - open.length);
    const tried = await Promise.allSettled(Array.from({ length: batch }, (_, i) => one(open.length + i + 1)));
    open.push(...tried.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])));
    const failed = tried.find((result) => result.status === "rejected");
    if (!failed) continue;
    await Promise.all(open.map((connection) => connection.close()));
    throw failed.reason;
  }
  return open;
}

interface Run {
  /** Sends what may be sent now. */
  readonly pump: () => void;
  /** Resolves once all that will be sent is sent. */
  readonly sentAll: Promise<void>;
  /** Resolves once the broker has also answered for all of it. */
  readonly answeredAll: Promise<void>;
  result(): PublishResult;
  /** Answers that come from now on are not counted. */
  end(): void;
}

function createRun(options: PublishOptions, connections: readonly Connection[], clock: Clock): Run {
  const { fleet, window, qos, signal, count = Infinity, seconds = Infinity } = options;
  const startMs = clock.monoMs();
  const pacer = createPacer(options.rate, startMs);
  const latency = createLatency();
  const expected: Record<string, number> = {};
  const given: Record<string, number> = {};
  const answers = { acknowledged: 0, refused: 0 };
  const sentAll = Promise.withResolvers<void>();
  const answeredAll = Promise.withResolvers<void>();
  let sent = 0;
  let waiting: FleetMessage | undefined;
  let state: "sending" | "draining" | "ended" = "sending";
  let pumping = false;

  const unanswered = () => sent - answers.acknowledged - answers.refused;

  const countAnswer = (message: FleetMessage, sentMs: number, [answer, verdict]: Answer): void => {
    if (state === "ended") return;
    answers[answer] += 1;
    if (answer === "acknowledged") {
      latency.add(clock.monoMs() - sentMs);
      expected[message.expected] = (expected[message.expected] ?? 0) + 1;
      if (verdict !== undefined) given[verdict] = (given[verdict] ?? 0) + 1;
      options.onAcknowledged?.(message);
    }
    pump();
  };

  const sendOne = (nowMs: number): boolean => {
    if (unanswered() >= window || !pacer.ready(nowMs)) return false;
    const message = (waiting ??= fleet.next(clock.wallMs()));
    const connection = connections[message.device % connections.length];
    if (!connection?.hasRoom()) return false;
    pacer.take();
    waiting = undefined;
    sent += 1;
    const { topic, payload } = message;
    connection.publish(topic, payload, qos, (...answer) => countAnswer(message, nowMs, answer));
    return true;
  };

  const mayGoOn = (nowMs: number) =>
    state === "sending" && !signal?.aborted && sent < count && nowMs - startMs < seconds * 1000;

  const pump = (): void => {
    // A QoS 0 message is answered within publish(), which leads back here.
    if (pumping) return;
    pumping = true;
    let nowMs = clock.monoMs();
    for (let turn = 0; turn < turnMax && mayGoOn(nowMs) && sendOne(nowMs); turn++) nowMs = clock.monoMs();
    pumping = false;
    if (mayGoOn(nowMs)) return;
    if (state === "sending") state = "draining";
    sentAll.resolve();
    if (unanswered() === 0) answeredAll.resolve();
  };

  return {
    pump,
    sentAll: sentAll.promise,
    answeredAll: answeredAll.promise,
    result: () => ({
      sent,
      ...answers,
      unanswered: unanswered(),
      elapsedMs: clock.monoMs() - startMs,
      latency: latency.percentiles(),
      expected: { ...expected },
      given: { ...given },
    }),
    end: () => void (state = "ended"),
  };
}
