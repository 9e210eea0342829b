/**
 * The one line that `systemctl status` shows of a running gateway: what needs somebody, else that it works; then the
 * rate and the backlog. Both are rounded, so that a steady gateway has a steady line and systemd is told little.
 */
import { entriesWait } from "../../core/text/readable.ts";
import type { Clock } from "../../core/clock.ts";
import type { Stats } from "../../admin/measurements.ts";

/** Returns a function for calls at intervals: the rate is that since the last call. */
export function statusText(read: () => Stats, clock: Clock): () => string {
  let last: { received: number; monoMs: number } | undefined;
  return () => {
    const { attention, ingest, spool } = read();
    const now = { received: ingest.received, monoMs: clock.monoMs() };
    const seconds = last === undefined ? 0 : (now.monoMs - last.monoMs) / 1000;
    const perSecond = last === undefined || seconds <= 0 ? 0 : (now.received - last.received) / seconds;
    last = now;
    const since = attention.since === null ? "" : ` (since ${attention.since.slice(0, 16)}Z)`;
    const backlog = spool.entries === 0 ? "nothing waits" : entriesWait(rounded(spool.entries));
    return `${attention.text}${since}; ${rate(perSecond)} messages/s, ${backlog}`;
  };
}

/** To two digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(2));
}

/** Whole from 10 on. */
function rate(value: number): string {
  return rounded(value).toLocaleString("en", { maximumFractionDigits: 1 });
}
