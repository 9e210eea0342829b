/** Sets entries aside at the drain of a sink, and waits a moment until it has done so. */
import { z } from "zod";
import { sleep, type Clock } from "../../core/clock.ts";
import { toColumns } from "../../core/columns.ts";
import type { Drain } from "../../drain/drain.ts";

/** Entries set aside by one request. */
export const asideMax = 5_000;

export const asideAsked = z.strictObject({
  sink: z.string().min(1),
  lane: z
    .string()
    .optional()
    .describe("The lane, as `alarms` in /stats names it; absent: the first lane in trouble."),
  count: z.number().int().min(1).max(asideMax).default(1).describe("How many entries, the oldest first."),
  dry_run: z.boolean().default(false).describe("Change nothing; only say which entries."),
});

export const asideAnswer = z.object({
  lane: z.string(),
  trouble: z.string().describe("What the sink was stuck at, in the downstream system's words."),
  entries: z
    .array(
      z.object({
        seq: z.number(),
        tenant_id: z.string().nullable(),
        device_id: z.string().nullable(),
        msg_type: z.string().nullable(),
      }),
    )
    .readonly(),
  done: z
    .boolean()
    .describe("true: they are dead letters now; false: they will be once the downstream system answers."),
});

export type AsideAsked = z.infer<typeof asideAsked>;
export type AsideAnswer = z.infer<typeof asideAnswer>;
/** undefined: there is no such sink, or it is not in trouble. */
export type SetAside = (asked: AsideAsked) => Promise<AsideAnswer | undefined>;

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
