/** A drain over a real spool, on simulated time. */
import { silentLog } from "../../src/core/log/log.ts";
import { Drain, type DrainOptions } from "../../src/drain/drain.ts";
import type { Spool } from "../../src/spool/spool.ts";
import { simulatedClock } from "./clock.ts";
import { memorySink } from "./sink.ts";
import { emptyRecord, entries, type SpoolSettings, type spoolKit } from "./spool.ts";

type Options<S> = Partial<Omit<DrainOptions, "sink" | "spool" | "clock">> & {
  readonly sink: S;
  readonly dataDir?: string;
  readonly settings?: Partial<SpoolSettings> | undefined;
};

/** Not started. `dataDir` is a new one unless one is given. */
export function drainTo<S extends DrainOptions["sink"]>(
  kit: ReturnType<typeof spoolKit>,
  { sink, dataDir = kit.dir(), settings, ...more }: Options<S>,
) {
  const clock = simulatedClock();
  const spool = kit.spool({ clock, dataDir, ...settings });
  const drain = new Drain({ sink, spool, clock, log: silentLog, random: () => 1, ...more });
  return { clock, spool, sink, drain, dataDir };
}

/** The same into a sink in memory. */
export const drainToMemory = (
  kit: ReturnType<typeof spoolKit>,
  sink: Parameters<typeof memorySink>[0] = {},
) => drainTo(kit, { sink: memorySink(sink) });

/** Entries of one tenant. */
export const putInto = (spool: Spool, n: number, tenantId: string | null = "acme") =>
  spool.append(entries(n, spool.head + 1, { tenantId }), emptyRecord);
