/**
 * Notices that another client uses our client id: the broker then ends our connection for its, and its for ours, in turns. MQTT 5 says
 * so (0x8E); MQTT 3.1.1 only closes the connection, so several that were good and did not last are a suspicion and no more.
 *
 * It lasts beyond the moment, for in between either of the two is connected and all looks well.
 */
import type { Clock } from "../core/clock.ts";
import { BrokerReason, Closed } from "./mqtt-words.ts";

const TAKEN_OVER = 0x8e;
/** For so long it is told. */
const TOLD_MS = 600_000;
/** So many unexplained ends of connections that lasted no longer than this. */
const SHORT_MS = 60_000;
const SUSPICIOUS = 3;

export interface Takeovers {
  /** A connection with which all was well is over. */
  ended(cause: unknown, lastedMs: number): void;
  /** A sentence to tell people; undefined: nothing is suspected. */
  suspicion(): string | undefined;
}

export function takeovers(clock: Clock, clientId: string): Takeovers {
  let certainMs = Number.NEGATIVE_INFINITY;
  let unexplained: number[] = [];
  const recent = (ms: number) => clock.monoMs() - ms < TOLD_MS;

  return {
    ended(cause, lastedMs) {
      if (cause instanceof BrokerReason && cause.code === TAKEN_OVER) certainMs = clock.monoMs();
      if (!(cause instanceof Closed) || lastedMs > SHORT_MS) return;
      unexplained = [...unexplained, clock.monoMs()].slice(-SUSPICIOUS);
    },
    suspicion() {
      if (recent(certainMs)) return `another client with the same id, ${clientId}, took our session: ${MEND}`;
      if (unexplained.length < SUSPICIOUS || !unexplained.every(recent)) return undefined;
      return `our connections end soon after they are made, without a word: is there another client with the same id, ${clientId}? ${MEND}`;
    },
  };
}

const MEND =
  "each gateway needs a GATEWAY_ID (or MQTT_CLIENT_ID) of its own, or they take each other's messages";
