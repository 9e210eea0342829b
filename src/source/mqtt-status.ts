/** Publishes the gateway's status under STATUS_TOPIC, once per announcement and once per connection, and says once why a broker refuses it. */
import type { Log } from "../core/log.ts";
import type { StatusTopic } from "../core/source.ts";
import type { Connection } from "./mqtt-connection.ts";

export interface StatusPublisher {
  /** Keeps it for connections to come. @param connection absent: none is up */
  announce(status: string, connection: Connection | undefined): void;
  /** The last one announced; nothing if there was none. */
  publish(connection: Connection | undefined): void;
  /** Why the broker does not have it; undefined if it was not refused. */
  refusal(): string | undefined;
}

export function createStatusPublisher(
  { topic }: StatusTopic,
  { place, clientId, log }: { place: string; clientId: string; log: Log },
): StatusPublisher {
  let status: string | undefined;
  let refused: string | undefined;

  function publish(connection: Connection | undefined): void {
    if (status === undefined) return;
    connection?.publish(topic, status, (why) => {
      const refusal = `the broker refuses STATUS_TOPIC ${topic} (${why}): allow this gateway's user to publish there`;
      if (refusal !== refused) log.warn({ broker: place, client_id: clientId }, refusal);
      refused = refusal;
    });
  }

  return {
    announce(told, connection) {
      status = told;
      publish(connection);
    },
    publish,
    refusal: () => refused,
  };
}
