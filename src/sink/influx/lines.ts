/**
 * Makes lines of entries: the usual case is scanned straight into the body (scan.ts), the others go through encodeLine. Each
 * gets a time at which it overwrites nothing. What the server could never hold is refused here.
 */
import type { Clock } from "../../core/clock.ts";
import type { Entry } from "../../core/entry.ts";
import type { Grammar } from "./grammar.ts";
import { encodeLine, textOf, type Line, type Made, type Table, type TypeHints } from "./line.ts";
import { namesIn, Unwritable } from "./names.ts";
import { printOfText } from "./print.ts";
import type { Refusal } from "../../core/sink.ts";
import type { Collisions, Shifts } from "./collisions.ts";
import { createBody, type Body, type Memory } from "./scan.ts";
import { createSeries, type KnownSeries } from "./series.ts";
import { endMs, msOf, nsOf } from "./time.ts";
import type { KnownTable, TypeMap } from "./types.ts";

export interface Lines {
  /** Lines that are believed to fit their columns. */
  readonly fits: Line[];
  readonly misfits: Line[];
  /** The bytes of `fits`. */
  readonly body: Body;
  /** Some line of `fits` has a column whose type is not known yet, or is of a series of which no line is known to be stored. */
  hasNews: boolean;
  /** Entries without a field to write. */
  ignored: number;
  readonly refused: Refusal[];
}

export interface Making {
  readonly database: string;
  readonly grammar: Grammar;
  /** Times that some of the entries were given in an earlier try. */
  readonly shifts: Shifts;
  /** Types of columns by table, from the server's words. */
  readonly typeHints: ReadonlyMap<string, TypeHints>;
}

export interface LinesOptions {
  readonly types: TypeMap;
  readonly collisions: Collisions;
  readonly clock: Clock;
  /** How far an event's time may lie from its arrival; 0 if there is no bound. */
  readonly distanceMaxMs: number;
  /** So many devices may be cached. */
  readonly devicesMax?: number | undefined;
}

/** What a line usually takes; a body that needs more grows. */
const lineBytes = 192;
/** Memory of bodies that is kept for the next ones, for new memory costs a tenth of what a line costs. */
const sparesMax = 4;
const spareBytesMax = 4_194_304;

export function createLines({ types, collisions, clock, distanceMaxMs, devicesMax }: LinesOptions) {
  const series = createSeries(devicesMax);
  const spares: Memory[] = [];

  /** The line in the usual case, in one pass; else null. */
  function scanned(entry: Entry, table: KnownTable, making: Making, body: Body): Line | null {
    if (making.grammar.caseless || making.typeHints.size > 0) return null;
    const begun = beginning(entry, table, making.grammar);
    if (begun === null || !body.scan(entry, table, begun.series)) return null;
    begun.body = body;
    try {
      const line = placed(begun, making);
      body.end(line);
      begun.body = null;
      return line;
    } catch (error) {
      body.undo();
      throw error;
    }
  }

  function beginning(entry: Entry, table: Table, grammar: Grammar): ScannedLine | null {
    try {
      return new ScannedLine(entry, series(entry, table, grammar), msOf(entry, grammar), grammar);
    } catch (error) {
      if (error instanceof Unwritable) return null;
      throw error;
    }
  }

  function encoded(entry: Entry, table: KnownTable, making: Making, body: Body): Line | null {
    const made = encodeLine(entry, table, making.grammar, series, making.typeHints.get(table.name));
    if (made === null) return null;
    const line = placed(made, making);
    if (!line.misfit) body.add(textOf(line));
    return line;
  }

  function placed(line: Made, { shifts, grammar }: Making): Line {
    const at = collisions.place(line, shifts, grammar.stepNs);
    if (at.ms >= endMs) throw new Unwritable("event time is the last there is, and taken by another reading");
    return at;
  }

  /**
   * Refuses times far from the arrival: scattered times open a shard (a Parquet file) each, so that one wild clock would cost
   * everybody. The distance from now counts as well, for our own clock may have been wrong when the message came.
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

  function makeLines(entries: readonly Entry[], making: Making): Lines {
    const body = createBody(entries.length * lineBytes, spares.pop());
    const lines: Lines = { fits: [], misfits: [], body, hasNews: false, ignored: 0, refused: [] };
    let table: KnownTable | null = null;
    for (const entry of entries) {
      if (table?.name !== entry.msgType) table = types.table(making.database, entry.msgType ?? "");
      try {
        checkDistance(entry);
        const line = scanned(entry, table, making, body) ?? encoded(entry, table, making, body);
        if (line === null) lines.ignored += 1;
        else if (line.news !== null || !line.series.isStored) lines.hasNews = true;
        if (line !== null) (line.misfit ? lines.misfits : lines.fits).push(line);
      } catch (error) {
        if (!(error instanceof Unwritable)) throw error;
        lines.refused.push({ entry, why: error.message });
      }
    }
    return lines;
  }

  /** Keeps the memory of lines that were sent. */
  function reuse(body: Body) {
    const memory = body.release();
    if (spares.length < sparesMax && memory.length <= spareBytesMax) spares.push(memory);
  }

  return { makeLines, reuse };
}

/** A line whose bytes are in the body; its fields as text are made when they are first needed, which is rare. */
class ScannedLine implements Made {
  /** As long as it is the last line of it. */
  body: Body | null = null;
  readonly entry: Entry;
  readonly series: KnownSeries;
  readonly ms: number;
  readonly grammar: Grammar;
  #fields: string | null = null;

  constructor(entry: Entry, series: KnownSeries, ms: number, grammar: Grammar) {
    this.entry = entry;
    this.series = series;
    this.ms = ms;
    this.grammar = grammar;
  }

  get table(): Table {
    return this.series.table;
  }

  get ns(): number {
    return nsOf(this.entry, this.grammar);
  }

  get news(): null {
    return null;
  }

  get misfit(): false {
    return false;
  }

  get names(): readonly string[] {
    return this.body?.names() ?? namesIn(this.entry);
  }

  get print(): number {
    return this.body?.print() ?? printOfText(this.fields);
  }

  get fields(): string {
    this.#fields ??=
      this.body?.plainFields() ?? encodeLine(this.entry, this.table, this.grammar)?.fields ?? "";
    return this.#fields;
  }
}
