/**
 * The one line that `systemctl status` shows of a running gateway: what needs somebody, else that it works; then the
 * rate and the backlog. Both are rounded, so that a steady gateway has a steady line and systemd is told little.
 */
import type { Clock } from "../../core/clock.ts";
import type { Stats } from "../../admin/views.ts";

/** Returns a function for calls at intervals: the rate is that since the last call. */
export function statusText(read: () => Stats, clock: Clock): () => string {
  let last: { received: number; monoMs: number } | undefined;
  return () => {
    const { attention, ingest, spool } = read();
    const now = { received: ingest.received, monoMs: clock.monoMs() };
    const seconds = last === undefined ? 0 : (now.monoMs - last.monoMs) / 1000;
    const perSecond = last === undefined || seconds <= 0 ? 0 : (now.received - last.received) / seconds;
    last = now;
    const since = attention.since === null ? "" : ` since ${attention.since.slice(0, 16)}Z`;
    const backlog = spool.entries === 0 ? "nothing waits" : `${rounded(spool.entries)} entries wait`;
    return `${attention.text}${since}; ${rounded(perSecond)} messages/s, ${backlog}`;
  };
}

/** To two digits, and whole from 10 on. */
function rounded(value: number): string {
  return Number(value.toPrecision(2)).toLocaleString("en-US", { maximumFractionDigits: 1 });
}
