/**
 * The oracle of a fault: it numbers every message, notes what the publisher got acknowledged and what really went
 * over the wire to the gateway, and then says which of that the tables hold: lost, duplicate, altered, never sent. It
 * watches the wire because a broker makes mistakes of its own: one that is killed forgets what it had taken, and
 * sends as new what it forgot having sent. A message that the broker sent twice as new may be stored twice; only more
 * than that is our fault.
 */
import mqttPacket from "mqtt-packet";
import { createFleet, type Fleet, type FleetMessage } from "../../src/simulator/fleet.ts";
import type { FleetOptions } from "../../src/simulator/device.ts";
import type { Proxy, ProxiedConnection } from "./proxy.ts";

/** A row of raw_events (`reason` null) or quarantine_events. */
export interface StoredRow {
  readonly reason: string | null;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface Verdict {
  readonly sent: number;
  /** By the broker, to the publisher. */
  readonly acknowledged: number;
  /** Rows in raw_events and quarantine_events. */
  readonly stored: number;
  readonly quarantined: number;
  /** Acknowledged to the publisher, or by the gateway to the broker, and in no table. */
  readonly lost: number;
  /** Of those: never acknowledged by the gateway, so that the broker had to keep them. */
  readonly lostByBroker: number;
  /** Rows beyond one per message. */
  readonly duplicate: number;
  /** Of those: sent as new by the broker more than once. */
  readonly repeatedByBroker: number;
  /** What else is wrong, one sentence each (the first few): altered, in the wrong table, never sent. */
  readonly wrong: readonly string[];
}

export interface Oracle {
  /** For the publisher. */
  readonly fleet: Fleet;
  readonly acknowledge: (message: FleetMessage) => void;
  /** Notes what passes from the broker to the gateway, and what that acknowledges. */
  watch(proxy: Proxy, protocolVersion: 4 | 5): void;
  judge(rows: Iterable<StoredRow>): Verdict;
}

interface Sent {
  readonly text: string;
  readonly expected: string;
  acknowledged: boolean;
  /** Acknowledged by the gateway. */
  taken: boolean;
  /** How often it passed to the gateway as new. */
  passed: number;
  rows: number;
}

/** The expected result of a message that a downstream system refuses: no row at all. */
export const refused = "refused";
const wrongShown = 5;

/**
 * @param spoil changes some messages: what `n` is to become, with other text
 * @param strangers others send too: a row without a number is theirs
 */
export function createOracle(
  options: FleetOptions,
  spoil?: (n: number, text: string) => { text: string; expected: string } | null,
  strangers = false,
): Oracle {
  const fleet = createFleet(options);
  const sent: Sent[] = [];
  const numbers = new WeakMap<FleetMessage, number>();

  function next(atMs: number): FleetMessage {
    const message = fleet.next(atMs);
    const n = sent.length;
    const whole = `${message.payload.toString().slice(0, -1)},"n":${n}}`;
    const { text, expected } = spoil?.(n, whole) ?? { text: whole, expected: message.expected };
    sent.push({ text, expected, acknowledged: false, taken: false, passed: 0, rows: 0 });
    const made = { ...message, expected, payload: Buffer.from(text) };
    numbers.set(made, n);
    return made;
  }

  const line: Line = {
    pass(n, dup) {
      const found = sent[n];
      if (found && !dup) found.passed++;
    },
    take(n) {
      const found = sent[n];
      if (found) found.taken = true;
    },
  };

  return {
    fleet: { devices: fleet.devices, next },
    acknowledge(message) {
      const found = sent[numbers.get(message) ?? -1];
      if (found) found.acknowledged = true;
    },
    watch: (proxy, protocolVersion) => watch(proxy, protocolVersion, line),
    judge: (rows) => judge(sent, strangers ? numbered(rows) : rows),
  };
}

interface Line {
  pass(n: number, dup: boolean): void;
  take(n: number): void;
}

function watch(proxy: Proxy, protocolVersion: 4 | 5, line: Line): void {
  const connections = new WeakMap<
    ProxiedConnection,
    { answers: mqttPacket.Parser; sends: mqttPacket.Parser }
  >();
  const parsersOf = (connection: ProxiedConnection) => {
    const known = connections.get(connection);
    if (known) return known;
    /** Packet identifier → number. */
    const underWay = new Map<number, number>();
    const answers = mqttPacket.parser({ protocolVersion });
    const sends = mqttPacket.parser({ protocolVersion });
    answers.on("packet", (packet) => {
      if (packet.cmd !== "publish") return;
      const n = numberIn(Buffer.from(packet.payload));
      underWay.set(packet.messageId ?? 0, n);
      line.pass(n, packet.dup);
    });
    sends.on("packet", (packet) => {
      if (packet.cmd === "puback") line.take(underWay.get(packet.messageId ?? 0) ?? -1);
    });
    const parsers = { answers, sends };
    connections.set(connection, parsers);
    return parsers;
  };
  proxy.onAnswer((piece, connection) => void parsersOf(connection).answers.parse(piece));
  proxy.onSend((piece, connection) => void parsersOf(connection).sends.parse(piece));
}

function numberIn(payload: Buffer): number {
  return Number(/"n":(\d+)\}$/.exec(payload.subarray(-24).toString("latin1"))?.[1] ?? -1);
}

function* numbered(rows: Iterable<StoredRow>): Generator<StoredRow> {
  for (const row of rows) if (typeof row.payload?.["n"] === "number") yield row;
}

function judge(sent: readonly Sent[], rows: Iterable<StoredRow>): Verdict {
  const wrong: string[] = [];
  let stored = 0;
  let quarantined = 0;
  for (const message of sent) message.rows = 0;
  for (const row of rows) {
    stored++;
    if (row.reason !== null) quarantined++;
    const message = sent[Number(row.payload["n"] ?? -1)];
    const complaint = message === undefined ? "never sent" : mismatch(message, row);
    if (complaint && wrong.length < wrongShown) wrong.push(`${complaint}: ${JSON.stringify(row)}`);
    if (message) message.rows++;
  }
  const wanted = sent.filter((message) => message.expected !== refused);
  const lost = wanted.filter((message) => (message.acknowledged || message.taken) && message.rows === 0);
  const sum = (of: (message: Sent) => number) => wanted.reduce((total, message) => total + of(message), 0);
  return {
    sent: sent.length,
    acknowledged: sent.filter((message) => message.acknowledged).length,
    stored,
    quarantined,
    lost: lost.length,
    lostByBroker: lost.filter((message) => !message.taken).length,
    duplicate: sum(({ rows: count }) => Math.max(0, count - 1)),
    repeatedByBroker: sum(({ rows: count, passed }) => Math.max(0, Math.min(count, passed) - 1)),
    wrong,
  };
}

/** The payload must be what was sent, except for the token, and in the table of its verdict. */
function mismatch(message: Sent, { reason, payload }: StoredRow): string | null {
  if ((reason ?? "event") !== message.expected) return `expected as ${message.expected}`;
  const wanted = JSON.parse(message.text) as Record<string, unknown>;
  if ("provision_token" in wanted) wanted["provision_token"] = "***";
  return Bun.deepEquals(payload, wanted) ? null : `altered (sent as ${JSON.stringify(wanted)})`;
}
