/**
 * One batch of one database: entries to lines, lines to the target, an outcome for every entry.
 */
import type { Clock } from "../../core/clock.ts";
import type { Entry } from "../../core/entry.ts";
import {
  bodyOf,
  encodeLine,
  endMs,
  msOf,
  textOf,
  Unwritable,
  withType,
  type ColumnType,
  type Grammar,
  type Line,
  type Table,
} from "../line.ts";
import type { Delivery, Outcome, Refusal } from "../sink.ts";
import { grammarOf } from "./api.ts";
import type { Collisions } from "./collisions.ts";
import { nameFault } from "./database.ts";
import { NoAnswer } from "./http.ts";
import type { Pace } from "./pace.ts";
import { createBody, type Body } from "./scan.ts";
import { createSeries, type KnownSeries } from "./series.ts";
import { ship, type Progress, type Shipping } from "./ship.ts";
import type { Tally } from "./tally.ts";
import type { Target } from "./target.ts";
import type { KnownTable, TypeMap } from "./types.ts";

export interface Parts {
  readonly target: Target;
  readonly types: TypeMap;
  readonly collisions: Collisions;
  readonly tally: Tally;
  readonly pace: Pace;
  readonly clock: Clock;
  /** The tenant is a tag. */
  readonly tenantTag: boolean;
  /** How far an event's time may lie from its arrival; 0: anywhere. */
  readonly distanceMaxMs: number;
  /** Databases keep data this long; 0: for ever, or it is not known. */
  readonly retentionMs: number;
}

/** What a line's measurement and tags take in general; a body that needs more grows. */
const seriesBytes = 64;

interface Round {
  readonly database: string;
  readonly delivery: Delivery;
  readonly progress: Progress;
  readonly outcome: { delivered: number; ignored: number; refused: number };
  /** Refused in this round and not in the dead letters yet. */
  readonly refusals: Refusal[];
  /** The lines that are believed to fit their columns, and those that are not. */
  readonly fits: Line[];
  readonly misfits: Line[];
  /** Those that fit, as they are sent first. */
  readonly body: Body;
  /** The table of the last entry. */
  table: KnownTable | null;
  /** What was stored in this round; looked at only if the round does not end well. */
  readonly stored: (readonly Line[])[];
}

export function createDeliver(parts: Parts): (database: string, delivery: Delivery) => Promise<Outcome> {
  const { target, types, collisions, tally, pace, clock, tenantTag, distanceMaxMs, retentionMs } = parts;
  const series = createSeries();
  const unfinished = new Map<string, Progress>();

  function refuse({ outcome, refusals }: Round, entry: Entry, why: string) {
    refusals.push({ entry, why });
    outcome.refused += 1;
  }

  /** All at once at the end of a round, for each time costs an fsync. */
  function bury({ progress, delivery, refusals }: Round) {
    if (refusals.length === 0) return;
    delivery.refuse(refusals);
    for (const { entry } of refusals.splice(0)) {
      tally.refused();
      progress.settled.set(entry.seq, true);
    }
  }

  /** That of the last entry, in general. */
  function tableOf(round: Round, { msgType }: Entry): KnownTable {
    if (round.table === null || round.table.name !== msgType)
      round.table = types.table(round.database, msgType ?? "");
    return round.table;
  }

  /** Makes the line of an entry that is to be sent. */
  function take(round: Round, entry: Entry, grammar: Grammar): void {
    const { progress, outcome } = round;
    const refusedBefore = progress.settled.size === 0 ? undefined : progress.settled.get(entry.seq);
    if (refusedBefore !== undefined) {
      outcome[refusedBefore ? "refused" : "delivered"] += 1;
      return;
    }
    try {
      checkDistance(entry);
      if (!scanned(round, entry, grammar)) encoded(round, entry, grammar);
    } catch (error) {
      if (!(error instanceof Unwritable)) throw error;
      refuse(round, entry, error.message);
    }
  }

  /** The usual case, in one pass; false if it is another, for encodeLine to say which. */
  function scanned(round: Round, entry: Entry, grammar: Grammar): boolean {
    if (grammar.caseless) return false;
    const { progress, body, fits } = round;
    const table = tableOf(round, entry);
    const made = begun(entry, table, grammar);
    if (made === null || !body.scan(entry, table, made.series)) return false;
    try {
      const line = placed(made, progress);
      body.end(line);
      fits.push(line);
    } catch (error) {
      body.undo();
      throw error;
    }
    return true;
  }

  function begun(entry: Entry, table: Table, grammar: Grammar) {
    try {
      return new ScannedLine(entry, table, series(entry, table, grammar), msOf(entry, grammar), grammar);
    } catch (error) {
      if (error instanceof Unwritable) return null;
      throw error;
    }
  }

  function encoded(round: Round, entry: Entry, grammar: Grammar): void {
    const { progress, outcome, body, fits, misfits } = round;
    const made = encodeLine(entry, tableOf(round, entry), grammar, series);
    if (made === null) {
      outcome.ignored += 1;
      return;
    }
    const line = placed(made, progress);
    if (!line.misfit) body.add(textOf(line));
    (line.misfit ? misfits : fits).push(line);
  }

  /**
   * Scattered times open a shard (a Parquet file) each, and one wild clock would cost everybody. Measured from now as well,
   * for it may be our own clock that was wrong when the message came.
   */
  function checkDistance({ eventMs, receivedMs }: Entry) {
    if (eventMs === null || distanceMaxMs === 0 || Math.abs(eventMs - receivedMs) <= distanceMaxMs) return;
    if (clock.isTimeKnown?.() === false) return;
    const distanceMs = Math.min(Math.abs(eventMs - receivedMs), Math.abs(eventMs - clock.wallMs()));
    if (distanceMs > distanceMaxMs)
      throw new Unwritable(
        `event time ${new Date(eventMs).toISOString()} is ${Math.round(distanceMs / 86_400_000)} days from its arrival, more than INFLUX_TIME_DISTANCE_MAX_DAYS`,
      );
  }

  function placed(line: Line, { shifts }: Progress): Line {
    const at = collisions.place(line, shifts);
    if (at.ms >= endMs) throw new Unwritable("event time is the last there is, and taken by another reading");
    return at;
  }

  async function post({ database, delivery, fits, body }: Round, lines: readonly Line[]) {
    try {
      const bytes = lines === fits ? body.bytes() : new TextEncoder().encode(bodyOf(lines));
      const verdict = await target.post(database, bytes, delivery.signal);
      tally.answered(verdict);
      if (verdict.kind === "stored") pace.taken(lines.length);
      else if (verdict.kind === "away" && verdict.slow) pace.tooSlow(lines.length);
      return verdict;
    } catch (error) {
      tally.failed();
      if (error instanceof NoAnswer) pace.tooSlow(lines.length);
      throw error;
    }
  }

  function shippingOf(round: Round, grammar: Grammar): Shipping {
    const { database } = round;
    const isInvisible = (line: Line) =>
      retentionMs > 0 && (line.entry.eventMs ?? line.entry.receivedMs) < clock.wallMs() - retentionMs;
    return {
      progress: round.progress,
      post: (lines) => post(round, lines),
      stored(lines) {
        for (const { news, table } of lines) if (news !== null) types.confirm(database, table.name, news);
        if (retentionMs > 0) tally.beyondRetention(lines.filter(isInvisible).length);
        round.outcome.delivered += lines.length;
        round.stored.push(lines);
      },
      refused: (line, why) => refuse(round, line.entry, why),
      retyped: (line, { column, has }) => retyped(line, column, has, grammar),
    };
  }

  async function run(round: Round) {
    const { entries, signal } = round.delivery;
    const { kind, proven } = await target.rules(signal);
    const fault = nameFault(kind, round.database);
    if (fault !== null) {
      for (const entry of entries) refuse(round, entry, fault);
      return;
    }
    const grammar = grammarOf(kind, proven, tenantTag);
    for (const entry of entries) take(round, entry, grammar);
    await ship(round.fits, round.misfits, shippingOf(round, grammar));
  }

  return async (database, delivery) => {
    const progress = unfinished.get(database) ?? newProgress();
    unfinished.set(database, progress);
    const outcome = { delivered: 0, ignored: 0, refused: 0 };
    const { entries } = delivery;
    const body = createBody(entries.reduce((sum, { payload }) => sum + payload.length + seriesBytes, 0));
    const round: Round = {
      database,
      delivery,
      progress,
      outcome,
      refusals: [],
      fits: [],
      misfits: [],
      body,
      table: null,
      stored: [],
    };
    const end = tally.begin(database, delivery.entries);
    try {
      await run(round);
      bury(round);
      if (isOver(progress, delivery.entries.at(-1)?.seq ?? 0)) unfinished.delete(database);
      end(null);
      return outcome;
    } catch (error) {
      for (const line of round.stored.flat()) progress.settled.set(line.entry.seq, false);
      end(error);
      bury(round);
      throw error;
    }
  };
}

/** A line whose bytes are in the body; its fields are made again if anybody asks, which is rare. */
class ScannedLine implements Line {
  readonly entry: Entry;
  readonly table: Table;
  readonly series: KnownSeries;
  readonly ms: number;
  readonly ns: number;
  readonly grammar: Grammar;
  readonly news = null;
  readonly misfit = false;

  constructor(entry: Entry, table: Table, series: KnownSeries, ms: number, grammar: Grammar) {
    this.entry = entry;
    this.table = table;
    this.series = series;
    this.ms = ms;
    this.ns = entry.eventNs;
    this.grammar = grammar;
  }

  get fields(): string {
    return encodeLine(this.entry, this.table, this.grammar)?.fields ?? "";
  }
}

const newProgress = (): Progress => ({ settled: new Map(), shifts: new Map(), faults: 0, control: null });

/** Forgets what is known of entries up to `last`; true if nothing is left, for a batch may be a part of an earlier one. */
function isOver({ settled, shifts }: Progress, last: number): boolean {
  for (const known of [settled, shifts]) for (const seq of known.keys()) if (seq <= last) known.delete(seq);
  return settled.size === 0 && shifts.size === 0;
}

/** The line with one column written as another type; null if that changes nothing or is impossible. */
function retyped(line: Line, column: string, type: ColumnType, grammar: Grammar): Line | null {
  try {
    const anew = encodeLine(line.entry, withType(line.table, column, type), grammar);
    if (anew === null || anew.fields === line.fields) return null;
    return { ...anew, ms: line.ms, ns: line.ns, news: [...(anew.news ?? []), [column, type]] };
  } catch (error) {
    if (error instanceof Unwritable) return null;
    throw error;
  }
}
