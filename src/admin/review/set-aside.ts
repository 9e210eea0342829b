/** Puts entries aside at the drain of a sink, and waits a moment for it to have done so. */
import { sleep, type Clock } from "../../core/clock.ts";
import { toColumns } from "../../core/columns.ts";
import type { SetAside } from "../../http/aside.ts";
import type { Drain } from "../../drain/drain.ts";

const waitMs = 5_000;

export function setAsideAt(drains: readonly Drain[], clock: Clock): SetAside {
  return async ({ sink, lane, count, dry_run: dryRun }) => {
    const drain = drains.find((each) => each.sink.name === sink);
    const stuck = drain?.inTrouble(count, lane);
    if (drain === undefined || stuck === undefined || stuck.entries.length === 0) return undefined;
    const settled = dryRun ? false : await within(clock, drain.setAside(stuck));
    return {
      lane: stuck.lane,
      trouble: stuck.trouble,
      entries: stuck.entries.map(({ seq, tenantId, deviceId, msgType }) =>
        toColumns({ seq, tenantId, deviceId, msgType }),
      ),
      done: settled,
    };
  };
}

async function within(clock: Clock, work: Promise<void>): Promise<boolean> {
  const waiting = new AbortController();
  const done = work.then(() => true);
  const late = sleep(clock, waitMs, waiting.signal).then(() => false);
  const answer = await Promise.race([done, late]);
  waiting.abort();
  return answer;
}
