/**
 * One batch of one database: makes lines of entries, sends them to the target, and returns an outcome for every entry.
 *
 * search.ts finds the lines that are refused. A delivery has a bounded number of requests, whatever the server answers: the
 * search goes on in the next delivery. What was found so far is kept, as it is if an outage comes between.
 */
import { isFor, type Entry } from "../../core/entry.ts";
import { Outage } from "../../core/outage.ts";
import { bodyOf, type Line } from "./line.ts";
import type { Delivery, Outcome, Refusal, SinkParts } from "../../core/sink.ts";
import type { Verdict } from "./answer.ts";
import { type Grammar, grammarOf } from "./grammar.ts";
import { nameFault } from "./database.ts";
import { NoAnswer } from "./http.ts";
import { createLines, type Lines, type LinesOptions } from "./lines.ts";
import type { Pace } from "../../core/pace.ts";
import { remember } from "./remember.ts";
import { Search, type Asking, type Fates, type Progress } from "./search.ts";
import type { Tally } from "./tally.ts";
import type { Target } from "./target.ts";

export interface Parts extends LinesOptions {
  readonly held: SinkParts<unknown>["held"];
  databaseOf(entry: Entry): string | null;
  readonly target: Target;
  readonly tally: Tally;
  readonly pace: Pace;
  /** The tenant is a tag. */
  readonly tenantTag: boolean;
  /** How long databases keep data; 0 if for ever, or if it is not known. */
  readonly retentionMs: number;
}

interface Round {
  readonly database: string;
  readonly delivery: Delivery;
  readonly progress: Progress;
  readonly outcome: { delivered: number; ignored: number; refused: number };
  /** Refused in this round, and not in the dead letters yet. */
  readonly refusals: Refusal[];
  /** Stored in this round; needed only if the round fails. */
  readonly stored: (readonly Line[])[];
}

/** Most requests in one delivery. */
const requestsMax = 40;
/** Pause before the search for refused lines goes on, in which other databases have their turn. */
const goOnAfterMs = 100;

export function createDeliver(parts: Parts): (database: string, delivery: Delivery) => Promise<Outcome> {
  const { target, types, tally, pace, clock, tenantTag, retentionMs, held, databaseOf, collisions } = parts;
  const { makeLines, reuse } = createLines(parts);
  const unfinished = new Map<string, Progress>();
  const start = held.cursorOf("influx");
  let remembering: Promise<void> | undefined;

  /** Lines that are sent nowhere take the times that they have there. */
  async function rememberBy(grammar: Grammar): Promise<void> {
    const laneOf = (entry: Entry) => (isFor("influx", entry) ? databaseOf(entry) : null);
    await remember(held, start, laneOf, (database, entries) =>
      reuse(makeLines(entries, { ...newProgress(), database, grammar }).body),
    );
    collisions.countAnew();
  }

  function refuse({ outcome, refusals }: Round, entry: Entry, why: string) {
    refusals.push({ entry, why });
    outcome.refused += 1;
  }

  /** Writes all refusals of a round at once, for each write costs an fsync. */
  function writeDeadLetters({ progress, delivery, refusals }: Round) {
    if (refusals.length === 0) return;
    delivery.refuse(refusals);
    for (const { entry } of refusals.splice(0)) {
      tally.refused();
      progress.settled.set(entry.seq, true);
    }
  }

  /** The entries that are not settled; counts the others. */
  function unsettled({ outcome, progress, delivery }: Round): readonly Entry[] {
    const { settled } = progress;
    if (settled.size === 0) return delivery.entries;
    return delivery.entries.filter(({ seq }) => {
      const wasRefused = settled.get(seq);
      if (wasRefused !== undefined) outcome[wasRefused ? "refused" : "delivered"] += 1;
      return wasRefused === undefined;
    });
  }

  async function post({ database, delivery }: Round, made: Lines, lines: readonly Line[]) {
    try {
      const bytes = lines === made.fits ? made.body.bytes() : new TextEncoder().encode(bodyOf(lines));
      const verdict = await target.post(database, bytes, delivery.signal);
      tally.answered(verdict, lines.length);
      if (verdict.kind === "stored") pace.taken(lines.length);
      else if (verdict.kind === "away" && verdict.slow) pace.tooMuch(lines.length);
      return verdict;
    } catch (error) {
      tally.failed();
      if (error instanceof NoAnswer) pace.tooMuch(lines.length);
      throw error;
    }
  }

  function learn(database: string, lines: readonly Line[]) {
    for (const { news, table, series } of lines) {
      series.isStored = true;
      if (news !== null) types.confirm(database, table.name, news);
    }
  }

  function fatesOf(round: Round, made: Lines): Fates {
    const isInvisible = ({ entry }: Line) =>
      (entry.eventMs ?? entry.receivedMs) < clock.wallMs() - retentionMs;
    return {
      stored(lines) {
        if (lines !== made.fits || made.hasNews) learn(round.database, lines);
        if (retentionMs > 0) tally.beyondRetention(lines.filter(isInvisible).length);
        round.outcome.delivered += lines.length;
        round.stored.push(lines);
      },
      refused: (line, why) => refuse(round, line.entry, why),
      tooLarge: pace.tooMuch,
    };
  }

  async function run(round: Round) {
    const { database, delivery, progress } = round;
    const { kind, proven } = await target.rules(delivery.signal);
    const fault = nameFault(kind, database);
    if (fault !== null) {
      for (const entry of delivery.entries) refuse(round, entry, fault);
      return;
    }
    const grammar = grammarOf(kind, proven, tenantTag);
    await (remembering ??= rememberBy(grammar));
    const made = makeLines(unsettled(round), { ...progress, database, grammar });
    round.outcome.ignored += made.ignored;
    for (const { entry, why } of made.refused) refuse(round, entry, why);
    await search(
      round,
      made,
      new Search(progress, fatesOf(round, made), grammar, target.place).run(made.fits, made.misfits),
    );
    reuse(made.body);
  }

  async function search(round: Round, made: Lines, asking: Asking) {
    let step = asking.next();
    let why = "";
    for (let requests = 0; !step.done; requests += 1) {
      if (requests === requestsMax)
        throw new Outage(
          `${target.place} refuses lines without naming them, and they are searched for (${why})`,
          { retryMaxMs: goOnAfterMs },
        );
      const answer = await post(round, made, step.value);
      if (answer.kind === "away") throw outageOf(target.place, answer);
      if ("why" in answer) ({ why } = answer);
      step = asking.next(answer);
    }
  }

  return async (database, delivery) => {
    const progress = unfinished.get(database) ?? newProgress();
    unfinished.set(database, progress);
    const outcome = { delivered: 0, ignored: 0, refused: 0 };
    const round: Round = { database, delivery, progress, outcome, refusals: [], stored: [] };
    const end = tally.begin(database, delivery.entries);
    try {
      await run(round);
      writeDeadLetters(round);
      if (isOver(progress, delivery.entries.at(-1)?.seq ?? 0)) unfinished.delete(database);
      end(null);
      return outcome;
    } catch (error) {
      for (const line of round.stored.flat()) progress.settled.set(line.entry.seq, false);
      end(error);
      writeDeadLetters(round);
      throw error;
    }
  };
}

function outageOf(place: string, verdict: Verdict & { readonly kind: "away" }): Outage {
  return new Outage(`${place}: ${verdict.why}`, { ...verdict, scope: verdict.down ? "sink" : "lane" });
}

const newProgress = (): Progress => ({
  settled: new Map(),
  shifts: new Map(),
  suspects: new Set(),
  typeHints: new Map(),
  faults: 0,
  control: null,
});

/** Forgets what is known of entries up to `last`; true if nothing is left. A batch may be the first part of an earlier one. */
function isOver({ settled, shifts, suspects }: Progress, last: number): boolean {
  const known = [settled, shifts, suspects];
  for (const each of known) for (const seq of each.keys()) if (seq <= last) each.delete(seq);
  return known.every(({ size }) => size === 0);
}
