/** The spool as a tank: how full, how long until it is full, how long until it is empty. */
import { spoolShareMax } from "../core/limits.ts";
import type { Stats } from "./types.ts";
import { duration, number, size } from "./words.ts";

export function Tank({ spool }: { spool: Stats["spool"] }) {
  const { entries, bytes, bytes_max: bytesMax, free_disk_bytes: free } = spool;
  const share = Math.min(1, bytes / bytesMax);
  const full = spool.offline_hours_left;
  const empty = spool.drain_seconds_left;
  return (
    <section id="tank">
      <h2>Spool</h2>
      <meter
        min={0}
        max={1}
        high={spoolShareMax}
        optimum={0}
        value={share}
        aria-label="Share of the spool that is used"
      >
        {Math.round(share * 100)} %
      </meter>
      <dl>
        <dt>Used</dt>
        <dd>
          {size(bytes)} of {size(bytesMax)}
        </dd>
        <dt>Free on the disk</dt>
        <dd>{free === null ? "cannot be read" : size(free)}</dd>
        <dt>Full if nothing is delivered</dt>
        <dd>{full === null ? "not known yet" : `in ${duration(full * 3600)}`}</dd>
        <dt>Entries that wait</dt>
        <dd>
          {number(entries)}
          {entries === 0 || empty === null ? "" : `, delivered in ${duration(empty)}`}
        </dd>
      </dl>
    </section>
  );
}
