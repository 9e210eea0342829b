/**
 * The sinks there are. A further one is a file and a line in `SINKS`: settings, help, `check`, `/stats`, `/metrics`, `/readyz` and
 * the contract suite walk that list. The tables are no line in it: they are the store, which every gateway has (tablesSink).
 */
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { valuesOf, type ValuesOf } from "../core/kind.ts";
import type { Sink, SinkKind, SinkParts } from "../core/sink.ts";
import type { Postgres } from "../store/postgres/client.ts";
import { postgresSink } from "../store/postgres/tables.ts";
import { localSink } from "../store/sqlite/tables.ts";
import { influx } from "./influx/sink.ts";

export const SINKS = [influx] as const;

/** What a configuration says of all of them. */
export type SinkSettings = ValuesOf<(typeof SINKS)[number]>;

/** Those that the settings ask for, in the order of the list. */
export function askedSinks(config: SinkSettings): readonly SinkKind[] {
  const kinds: readonly SinkKind[] = SINKS;
  return kinds.filter((kind) => kind.isAsked(valuesOf(config, kind)));
}

export function openSinks(config: SinkSettings, parts: Omit<SinkParts<unknown>, "settings">): Sink[] {
  return askedSinks(config).map((kind) => kind.open({ ...parts, settings: valuesOf(config, kind) }));
}

interface TablesParts {
  readonly dataDir: string;
  readonly gatewayId: string;
  /** Absent: the tables are in the local file. */
  readonly db: Postgres | undefined;
  readonly clock: Clock;
}

export function tablesSink({ db, gatewayId, dataDir, clock }: TablesParts): Sink {
  return db
    ? postgresSink({ db, gatewayId })
    : localSink({ path: join(dataDir, "local.db"), gatewayId, clock });
}
