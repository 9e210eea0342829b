/**
 * Requeues dead letters: the entry is appended to the spool once more, for the one sink that refused it, in the transaction that removes
 * its dead letter. So it keeps every promise of any other entry: delivered once, in its turn, counted.
 *
 * Rejected alternative: a list of its own that drains read beside the log, with a second cursor and a second way to be exactly once.
 */
import { toColumns } from "../../core/columns.ts";
import type { Entry } from "../../core/entry.ts";
import { isoOf } from "../../core/text/iso.ts";
import { explain } from "../../core/log/log.ts";
import { NotNow, type Filter, type ReviewOutcome, type Selection } from "./review-queue.ts";
import type { DeadLetterQueue, DeadLetterFull, DeadLetterRow } from "./dead-letter-rows.ts";
import type { DeadLetter, DeadLetterFilter, DeadLetters } from "../../spool/dead-letters.ts";

export interface DeadLetterParts {
  readonly deadLetters: DeadLetters;
  /** The sinks that there are. */
  readonly sinks: readonly string[];
  /** Appends the entries and removes the dead letters, both or neither. @throws if that cannot be done now */
  requeue(entries: readonly Entry[], deadLetterIds: readonly number[]): void;
}

const batchMax = 100;

export function createDeadLetterQueue({ deadLetters, sinks, requeue }: DeadLetterParts): DeadLetterQueue {
  /** Handles one batch: `work` gets the dead letters that may go. */
  function batch(
    selection: Selection,
    reasonToStay: (letter: DeadLetter) => string | null,
    work: (going: readonly DeadLetter[]) => void,
  ): ReviewOutcome {
    const upTo = selection.up_to ?? deadLetters.lastId();
    const { ids, after, dry_run: dryRun } = selection;
    const found = deadLetters.list({ ...filterOf(selection), ids, after, upTo, limit: batchMax });
    const going = found.filter((letter) => reasonToStay(letter) === null);
    const kept = found.flatMap((letter) => {
      const why = reasonToStay(letter);
      return why === null ? [] : { id: letter.id, why };
    });
    if (!dryRun && going.length > 0) work(going);
    const next = found.length < batchMax ? null : (found.at(-1)?.id ?? null);
    return { matched: found.length, done: going.length, kept, next, up_to: upTo };
  }

  return {
    // oxlint-disable typescript/require-await -- the interface is of those that must wait; what is thrown is to reject
    list: async ({ after, limit, ...filter }) =>
      deadLetters.list({ ...filterOf(filter), after, limit }).map(rowOf),
    async show(id) {
      const letter = deadLetters.get(id);
      return letter && fullOf(letter);
    },
    replay: async (selection) =>
      batch(
        selection,
        ({ sink }) => (sinks.includes(sink) ? null : `there is no sink ${sink} by the settings in force`),
        (going) => appendAnew(going, requeue),
      ),
    discard: async (selection) =>
      batch(
        selection,
        () => null,
        (going) => orNotNow(() => deadLetters.remove(going.map(({ id }) => id))),
      ),
    // oxlint-enable typescript/require-await
  };
}

function appendAnew(going: readonly DeadLetter[], requeue: DeadLetterParts["requeue"]): void {
  const entries = going.map(({ sink, entry }) => ({
    ...entry,
    seq: 0,
    returned: { target: sink, quarantineId: entry.returned?.quarantineId ?? null },
  }));
  orNotNow(() =>
    requeue(
      entries,
      going.map(({ id }) => id),
    ),
  );
}

/** @throws NotNow if the disk is full or such: nothing is changed */
function orNotNow(write: () => void): void {
  try {
    write();
  } catch (error) {
    throw new NotNow(explain(error), { cause: error });
  }
}

function filterOf({ sink, tenant, device, since, until }: Filter): Omit<DeadLetterFilter, "limit"> {
  const msOf = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time));
  return { sink, tenantId: tenant, deviceId: device, sinceMs: msOf(since), untilMs: msOf(until) };
}

function rowOf({ id, sink, refusedMs, why, entry }: DeadLetter): DeadLetterRow {
  const { tenantId, deviceId, msgType } = entry;
  return {
    id,
    sink,
    refused_at: new Date(refusedMs).toISOString(),
    why,
    kind: entry.kind,
    ...toColumns({ tenantId, deviceId, msgType }),
    received_at: new Date(entry.receivedMs).toISOString(),
  };
}

function fullOf(letter: DeadLetter): DeadLetterFull {
  const { seq, topic, siteId, eventMs, reason, detail, payload } = letter.entry;
  return {
    ...rowOf(letter),
    seq,
    topic,
    ...toColumns({ siteId, eventTs: isoOf(eventMs) }),
    reason,
    detail,
    payload,
  };
}
