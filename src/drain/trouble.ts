/**
 * What keeps a lane, or a whole drain, from going on: how often in a row, why, and how long until the next try. The log names it
 * when it begins, when it changes to what was not said yet, and when it ends.
 */
import { backoffMs } from "../core/clock.ts";
import { explain, type Log } from "../core/log/log.ts";
import { Outage } from "../core/outage.ts";
import { Said } from "../core/log/said.ts";

const backoffBaseMs = 250;
const backoffMaxMs = 30_000;

export class Trouble {
  /** null while all is well. */
  why: string | null = null;
  /** It will not end by itself: an operator must act. */
  isAlarm = false;
  /** It is not this lane's alone. */
  isOfSink = false;
  /** Failed tries in a row. */
  #attempt = 0;
  readonly #said = new Said();

  /** One more try failed. @param cannot what, for the log @returns how long to wait */
  begins(
    error: unknown,
    options: { cannot: string; log: Log | undefined; random: () => number; maxMs?: number | undefined },
  ): number {
    const { cannot, log, random, maxMs = backoffMaxMs } = options;
    const outage = error instanceof Outage ? error : new Outage(explain(error));
    const lidMs = Math.min(maxMs, outage.retryMaxMs);
    const waitMs = Math.max(outage.retryAfterMs, backoffMs(this.#attempt++, backoffBaseMs, lidMs, random));
    const why = explain(error);
    if (this.#said.isNew(`${outage.alarm} ${why}`)) {
      const said = { error: why, retry_ms: Math.round(waitMs) };
      if (outage.alarm) log?.error(said, `sink cannot ${cannot} until somebody acts; what is for it waits`);
      else log?.warn(said, `sink cannot ${cannot}; waiting`);
    }
    this.why = why;
    this.isAlarm = outage.alarm;
    this.isOfSink = outage.scope === "sink";
    return waitMs;
  }

  /** @param said for the log, if there was any trouble */
  ends(log: Log, said: string): void {
    if (this.why !== null) log.info(said);
    this.why = null;
    this.isAlarm = false;
    this.isOfSink = false;
    this.#attempt = 0;
    this.#said.forget();
  }
}

export interface TroubleReport {
  /** Why nothing moves, in the downstream system's words; null while all is well. */
  readonly trouble: string | null;
  /** Lanes whose trouble will not end by itself, with why: an operator must act. At most `alarmsMax` of them. */
  readonly alarms: readonly {
    readonly lane: string;
    readonly why: string;
    readonly scope: Outage["scope"];
  }[];
}

const alarmsMax = 20;

/** As stats show it; the first that waits for somebody speaks for all, else the first in trouble. */
export function reportOf(all: readonly { readonly key: string; readonly trouble: Trouble }[]): TroubleReport {
  const alarms = all.filter(({ trouble }) => trouble.isAlarm).slice(0, alarmsMax);
  const first = alarms[0] ?? all.find(({ trouble }) => trouble.why !== null);
  return {
    trouble: first?.trouble.why ?? null,
    alarms: alarms.map(({ key, trouble: { why, isOfSink } }) => ({
      lane: key,
      why: why ?? "",
      scope: isOfSink ? "sink" : "lane",
    })),
  };
}
