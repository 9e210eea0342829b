/** Publishes the gateway's status under STATUS_TOPIC, once per announcement and once per connection, and says once why a broker refuses it. */
import type { Log } from "../core/log.ts";
import type { StatusTopic } from "../core/source.ts";
import type { Connection } from "./mqtt-connection.ts";
import { describeFailure, refusesWill } from "./mqtt-words.ts";

export interface StatusPublisher {
  /** Keeps it for connections to come. @param connection absent: none is up */
  announce(status: string, connection: Connection | undefined): void;
  /** The last one announced; nothing if there was none. */
  publish(connection: Connection | undefined): void;
  /** For the next connection; undefined: the broker refuses it. */
  lastWill(): StatusTopic | undefined;
  /** A connection ended. Because of the last will? Then the next one is to be made at once, and goes without. */
  isOver(cause: unknown): boolean;
  /** Why the broker does not have it; undefined if it was not refused. */
  refusal(): string | undefined;
}

export function createStatusPublisher(
  statusTopic: StatusTopic,
  { place, clientId, log }: { place: string; clientId: string; log: Log },
): StatusPublisher {
  const { topic } = statusTopic;
  let status: string | undefined;
  let refused: string | undefined;
  /** Of one connection: the broker may be another one at the next. */
  let goesWithout = false;

  function refuse(refusal: string): void {
    if (refusal !== refused) log.warn({ broker: place, client_id: clientId }, refusal);
    refused = refusal;
  }

  function publish(connection: Connection | undefined): void {
    if (goesWithout || status === undefined) return;
    connection?.publish(topic, status, (why) =>
      refuse(`the broker refuses STATUS_TOPIC ${topic} (${why}): allow this gateway's user to publish there`),
    );
  }

  function isOver(cause: unknown): boolean {
    goesWithout = !goesWithout && refusesWill(cause);
    if (goesWithout) refuse(`health is not published: ${describeFailure(cause, place)}`);
    return goesWithout;
  }

  return {
    announce(told, connection) {
      status = told;
      publish(connection);
    },
    publish,
    lastWill: () => (goesWithout ? undefined : statusTopic),
    isOver,
    refusal: () => refused,
  };
}
