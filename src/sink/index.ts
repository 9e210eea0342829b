/**
 * The sinks there are. A further one is a file and a line here: settings, `check`, stats, metrics and the contract suite
 * follow from the list.
 */
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Postgres } from "../store/postgres/client.ts";
import type { Values } from "../core/settings.ts";
import { influxSink, type influxSettings } from "./influx/sink.ts";
import { localSink } from "../store/sqlite/tables.ts";
import { postgresSink } from "../store/postgres/tables.ts";
import type { Sink } from "../core/sink.ts";

export interface SinkParts {
  readonly dataDir: string;
  readonly gatewayId: string;
  /** Absent: the tables live in the local file. */
  readonly db: Postgres | undefined;
  readonly influx: Values<typeof influxSettings>;
  readonly clock: Clock;
  readonly log: Log;
}

type Make = (parts: SinkParts) => Sink | undefined;

const makers: readonly Make[] = [
  ({ db, gatewayId }) => (db ? postgresSink({ db, gatewayId }) : undefined),
  ({ db, gatewayId, dataDir, clock }) =>
    db ? undefined : localSink({ path: join(dataDir, "local.db"), gatewayId, clock }),
  ({ influx: settings, clock, log, dataDir }) =>
    settings.url !== undefined && settings.writeEnabled
      ? influxSink({ settings, clock, log, dataDir })
      : undefined,
];

/** Those that the settings ask for, in the order of the list. */
export function createSinks(parts: SinkParts): Sink[] {
  return makers.flatMap((make) => make(parts) ?? []);
}
