/**
 * Notices that another client uses our client id: the broker then ends our connection for its, and its for ours, in turns. MQTT 5 says
 * so (0x8E); MQTT 3.1.1 only closes the connection, so several that were good and did not last are a suspicion and no more.
 *
 * It lasts beyond the moment, for in between either of the two is connected and all looks well.
 */
import type { Clock } from "../../core/clock.ts";
import { BrokerReason, Closed } from "./words.ts";

const takenOverCode = 0x8e;
/** For so long it is remarked on. */
const remarkedMs = 600_000;
/** So many unexplained ends of connections that lasted no longer than this. */
const shortMs = 60_000;
const suspiciousCount = 3;

export interface Takeovers {
  /** A connection with which all was well is over. */
  ended(cause: unknown, lastedMs: number): void;
  /** A sentence to tell people; undefined: nothing is suspected. */
  suspicion(): string | undefined;
}

export function createTakeovers(clock: Clock, clientId: string): Takeovers {
  let certainMs = Number.NEGATIVE_INFINITY;
  let unexplained: number[] = [];
  const recent = (ms: number) => clock.monoMs() - ms < remarkedMs;

  return {
    ended(cause, lastedMs) {
      if (cause instanceof BrokerReason && cause.code === takenOverCode) certainMs = clock.monoMs();
      if (!(cause instanceof Closed) || lastedMs > shortMs) return;
      unexplained = [...unexplained, clock.monoMs()].slice(-suspiciousCount);
    },
    suspicion() {
      if (recent(certainMs))
        return `another client with the same id, ${clientId}, took our session: ${remedy}`;
      if (unexplained.length < suspiciousCount || !unexplained.every(recent)) return undefined;
      return `our connections end soon after they are made, without a word: is there another client with the same id, ${clientId}? ${remedy}`;
    },
  };
}

const remedy =
  "each gateway needs a GATEWAY_ID (or MQTT_CLIENT_ID) of its own, or they take each other's messages";
