/** Publishes the gateway's status under STATUS_TOPIC, once per announcement and once per connection, and says once why a broker refuses it. */
import type { Log } from "../../core/log/log.ts";
import type { StatusTopic } from "../../core/source.ts";
import type { Connection } from "./connection.ts";
import { describeFailure, endedByBroker, refusesWill } from "./words.ts";

export interface StatusPublisher {
  /** Keeps it for connections to come. @param connection absent: none is up */
  announce(status: string, connection: Connection | undefined): void;
  /** A connection is up: publishes the last one announced. @param hasWill whether the broker has the last will */
  connected(connection: Connection | undefined, hasWill: boolean): void;
  /** A connection ended. @returns whether the broker ended it because of the last will, or the status */
  isUnwanted(cause: unknown): boolean;
  /** Why the broker does not have it; undefined if it was not refused. */
  refusal(): string | undefined;
}

/** So many connections in a row that the broker ended when a status was published, and did not acknowledge it (RabbitMQ, if we may not). */
const suspicious = 2;

export function createStatusPublisher(
  { topic }: StatusTopic,
  { place, clientId, log }: { place: string; clientId: string; log: Log },
): StatusPublisher {
  const unheard = `${place} answers a CONNECT without STATUS_TOPIC's last will, and none with it: unset it, or allow the broker larger and retained messages`;
  let status: string | undefined;
  let refused: string | undefined;
  /** Why the last will is left out, if it is. */
  let why = unheard;
  /** Of one connection: the broker may be another one at the next. */
  let hasWill = false;
  /** A status was published that is not acknowledged. */
  let isOut = false;
  let endedWithIt = 0;

  function refuse(refusal: string): void {
    if (refusal !== refused) log.warn({ broker: place, client_id: clientId }, refusal);
    refused = refusal;
  }

  function acknowledged(): void {
    refused = undefined;
    why = unheard;
    endedWithIt = 0;
  }

  function publish(connection: Connection | undefined): void {
    if (!hasWill || status === undefined || connection === undefined) return;
    isOut ||= connection.publish(topic, status, (refusal) => {
      isOut = false;
      if (refusal === undefined) return acknowledged();
      refuse(
        `the broker refuses STATUS_TOPIC ${topic} (${refusal}): allow this gateway's user to publish there`,
      );
    });
  }

  function isUnwanted(cause: unknown): boolean {
    const wasOut = isOut && endedByBroker(cause);
    isOut = hasWill = false;
    if (wasOut) endedWithIt += 1;
    if (refusesWill(cause)) why = describeFailure(cause, place);
    else if (wasOut && endedWithIt >= suspicious)
      why = `${place} ends the connection when STATUS_TOPIC ${topic} is published: allow this gateway's user to publish there, or unset it`;
    else return false;
    return true;
  }

  return {
    announce(told, connection) {
      status = told;
      publish(connection);
    },
    connected(connection, isTaken) {
      hasWill = isTaken;
      if (!hasWill) refuse(`health is not published: ${why}`);
      publish(connection);
    },
    isUnwanted,
    refusal: () => refused,
  };
}
