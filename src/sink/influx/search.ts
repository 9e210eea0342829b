/**
 * Finds the lines of a batch that the server refuses. It sends nothing itself: it yields the lines of each request and
 * receives the answer, so that deliver.ts alone sends, counts requests and pauses.
 *
 * A line counts as stored if its request was answered 204, or if the answer lists others and says that the rest is stored. It
 * counts as refused if it was refused by number, alone, in a request that refused as many lines as it had, or as the only one
 * left of a request of which all others are stored. Words never prove anything: they decide how lines are parted
 * (suspects.ts), and if they mislead, that costs requests and no line. One case stays open: InfluxDB 1 and 2 keep a line that is
 * a little older than the retention period if a younger one of its shard is in the same request, and refuse it alone.
 *
 * If the words are not about lines at all (a 413, a 500, unknown words), halves are sent until the cause stands alone. Even then it is
 * refused only if it fails several more times while a line that the server has is taken after each: else an ill server
 * would turn a backlog into dead letters.
 *
 * Rejected alternative: to read back what is stored. It needs a right that a token for writing lacks, and a query language
 * per version.
 */
import { Outage } from "../../core/outage.ts";
import type { Some, Verdict } from "./answer.ts";
import type { Shifts } from "./collisions.ts";
import type { Grammar } from "./grammar.ts";
import { moved, rewritten, type ColumnType, type Line } from "./line.ts";
import { inTwo, isAbout, parted, quotesAll, typeIn, type TypeSuspicion } from "./suspects.ts";

/** What is known of a batch of one database of which some entries are not settled. */
export interface Progress {
  /** Entry seq → refused (true) or delivered (false). */
  readonly settled: Map<number, boolean>;
  readonly shifts: Shifts;
  /** Seqs of entries whose line met a server error when it was sent alone. */
  readonly suspects: Set<number>;
  /** Table → column → type, from the server's words. */
  readonly typeHints: Map<string, Map<string, ColumnType>>;
  /** Server errors since these entries were first tried. */
  faults: number;
  /** A line that is stored: to send it again changes nothing, and shows whether the server is well. */
  control: Line | null;
}

export interface Fates {
  stored(lines: readonly Line[]): void;
  refused(line: Line, why: string): void;
  /** A body of this many lines was too large, although no single line was. */
  tooLarge(lines: number): void;
}

/** An answer that is not an outage; deliver.ts throws those. */
export type Answered = Exclude<Verdict, { kind: "away" }>;
/** Yields the lines of each request, and receives the answer. */
export type Asking = Generator<readonly Line[], void, Answered>;

interface Suspect {
  readonly line: Line;
  readonly why: string;
}

/** This many server errors are taken for an outage; later ones for a body that the server cannot digest. */
const faultsMax = 4;
/** After this many failed requests in a row it is checked that the server is well. */
const failuresMax = 32;
/** Lines that are sent alone for all with the same mistake. */
const samples = 4;
/** How often a line must fail alone. A cluster with one ill node fails at random, but not for the same line each time. */
const trials = 6;
/** Suspects per group, so that all trials of a group fit into one delivery. */
const suspectsMax = 4;

export class Search {
  readonly #progress: Progress;
  readonly #fates: Fates;
  readonly #grammar: Grammar;
  readonly #place: string;
  #failures = 0;
  #tooLargeAlone = 0;
  readonly #suspects: Suspect[] = [];

  /** @param place what a trouble names */
  constructor(progress: Progress, fates: Fates, grammar: Grammar, place: string) {
    this.#progress = progress;
    this.#fates = fates;
    this.#grammar = grammar;
    this.#place = place;
  }

  /**
   * Settles each line. Misfits are sent apart, so that their refusal starts no search among the good lines.
   * @throws {Outage} if the server is ill
   */
  *run(fits: readonly Line[], misfits: readonly Line[]): Asking {
    const { suspects } = this.#progress;
    const isSuspect = ({ entry }: Line) => suspects.has(entry.seq);
    const again = suspects.size === 0 ? [] : [...fits, ...misfits].filter(isSuspect);
    for (const lines of [fits, misfits])
      yield* this.#send(again.length === 0 ? lines : lines.filter((line) => !isSuspect(line)));
    yield* this.#confirmAll();
    yield* this.#tryAgain(again);
  }

  /** Tries suspects of earlier deliveries, which may only have met a server that was ill. */
  *#tryAgain(again: readonly Line[]): Asking {
    if (again.length > suspectsMax && (yield again).kind === "stored") {
      this.#keep(again);
      return;
    }
    for (let at = 0; at < again.length; at += suspectsMax) {
      yield* this.#send(again.slice(at, at + suspectsMax));
      yield* this.#confirmAll();
    }
  }

  *#send(lines: readonly Line[]): Asking {
    if (lines.length > 0) yield* this.#settle(lines, yield lines);
  }

  *#settle(lines: readonly Line[], answer: Answered): Asking {
    if (answer.kind !== "fault" && answer.kind !== "too-large") this.#failures = 0;
    if (answer.kind === "stored") this.#keep(lines);
    else if (answer.kind === "lines" && hasAll(lines, answer.refused)) yield* this.#listed(lines, answer);
    else if (answer.kind === "lines") yield* this.#searched(lines, misnumbered(answer.refused));
    else if (answer.kind === "some") yield* this.#searched(lines, answer);
    else if (answer.kind === "too-large") yield* this.#tooLarge(lines, answer.why);
    else yield* this.#faulty(lines, answer);
  }

  #keep(lines: readonly Line[]) {
    const last = lines.at(-1);
    // A copy, which says what was stored also if the types of its columns are learned to be others.
    if (last !== undefined) this.#progress.control = moved(last, last);
    this.#fates.stored(lines);
  }

  *#halves(lines: readonly Line[]): Asking {
    const middle = lines.length >> 1;
    yield* this.#send(lines.slice(0, middle));
    yield* this.#send(lines.slice(middle));
  }

  *#tooLarge(lines: readonly Line[], why: string): Asking {
    const before = this.#tooLargeAlone;
    if (lines.length === 1) this.#tooLargeAlone += 1;
    yield* this.#failed(lines, why);
    if (this.#tooLargeAlone === before) this.#fates.tooLarge(lines.length);
  }

  /** The server names the lines. A line that can be written with its column's type is sent once more; else it is refused. */
  *#listed(lines: readonly Line[], { refused, othersStored }: Answered & { kind: "lines" }): Asking {
    if (othersStored) this.#keep(lines.filter((_, index) => !refused.has(index)));
    const anew = lines.flatMap((line, index) => {
      const why = refused.get(index);
      if (why === undefined) return othersStored ? [] : [line];
      return this.#rewritten(line, typeIn(why), why);
    });
    yield* this.#send(anew);
  }

  /** Some are refused, and the server does not name them. */
  *#searched(lines: readonly Line[], some: Some): Asking {
    const { suspicion, dropped, othersStored } = some;
    const isOfAll = lines.length === 1 || dropped === lines.length || quotesAll(lines, suspicion);
    const parts = isOfAll ? null : parted(lines, suspicion);
    if (isOfAll) yield* this.#allRefused(lines, some);
    else if (parts !== null) yield* this.#inParts(parts, some);
    else if (suspicion?.kind === "type" && !othersStored) yield* this.#sampled(lines, some);
    else yield* this.#inParts(inTwo(lines, suspicion), some);
  }

  *#inParts([one, other]: readonly [Line[], Line[]], some: Some): Asking {
    const answer = yield one;
    // If old lines were parted by a count and the younger ones are refused too, the count is not believed again.
    yield* this.#settle(one, some.suspicion?.kind === "old" ? uncounted(answer) : answer);
    if (answer.kind === "stored" && some.othersStored) yield* this.#searched(other, uncounted(some));
    else yield* this.#send(other);
  }

  /**
   * All of these have a value of the type that is refused, and the server names one at a time and stores none. Some are sent
   * alone, and their answers hold for all, for such a server has one type per column.
   */
  *#sampled(lines: readonly Line[], some: Some): Asking {
    const step = Math.ceil(lines.length / samples);
    for (const line of lines.filter((_, index) => index % step === 0)) {
      const answer = yield [line];
      if (answer.kind === "some" && answer.suspicion?.kind === "type") continue;
      yield* this.#settle([line], answer);
      yield* this.#halves(lines.filter((each) => each !== line));
      return;
    }
    yield* this.#allRefused(lines, some);
  }

  /** All of these are refused. The words hold for some of them; the others are sent once more for theirs. */
  *#allRefused(lines: readonly Line[], { why, suspicion }: Some): Asking {
    const type = suspicion?.kind === "type" ? suspicion : null;
    const some = type === null ? [] : lines.filter((line) => isAbout(line, type));
    const about = new Set(some.length === 0 ? lines : some);
    yield* this.#send(lines.flatMap((line) => (about.has(line) ? this.#rewritten(line, type, why) : [line])));
  }

  /** The line with its column's type; else it is refused, and there is none. */
  #rewritten(line: Line, type: TypeSuspicion | null, why: string): Line[] {
    const anew = type === null ? null : this.#retyped(line, type);
    if (anew !== null) return [anew];
    this.#fates.refused(line, why);
    return [];
  }

  /** The line written with the types from the server's words; null if that changes nothing or was tried before. */
  #retyped(line: Line, { column, has }: TypeSuspicion): Line | null {
    const hint = JSON.stringify([column, has]);
    if (line.tried?.has(hint)) return null;
    const { typeHints } = this.#progress;
    const hints = typeHints.get(line.table.name) ?? new Map<string, ColumnType>();
    typeHints.set(line.table.name, hints.set(column, has));
    const anew = rewritten(line, this.#grammar, hints);
    return anew === null ? null : { ...anew, tried: new Set([...(line.tried ?? []), hint]) };
  }

  *#faulty(lines: readonly Line[], { why, poison }: Answered & { kind: "fault" }): Asking {
    this.#progress.faults += 1;
    if (!poison && this.#progress.faults <= faultsMax) throw new Outage(`${this.#place}: ${why}`);
    yield* this.#failed(lines, why);
  }

  *#failed(lines: readonly Line[], why: string): Asking {
    this.#failures += 1;
    if (this.#failures > failuresMax) yield* this.#checkIsWell(why);
    const line = alone(lines);
    if (line === null) yield* this.#halves(lines);
    else {
      this.#suspects.push({ line, why });
      this.#progress.suspects.add(line.entry.seq);
    }
  }

  *#confirmAll(): Asking {
    while (this.#suspects.length > 0) yield* this.#confirmPoison(this.#suspects.splice(0, suspectsMax));
  }

  /** Sends each suspect several times, and after each time a line that must be taken if the server is well. */
  *#confirmPoison(suspects: readonly Suspect[]): Asking {
    let failed = suspects;
    for (let trial = 0; trial < trials; trial += 1) {
      const again: Suspect[] = [];
      for (const suspect of failed) {
        const answer = yield [suspect.line];
        if (answer.kind === "stored") this.#keep([suspect.line]);
        else again.push(suspect);
      }
      failed = again;
      const [first] = failed;
      if (first === undefined) return;
      yield* this.#checkIsWell(first.why);
    }
    for (const { line, why } of failed) this.#fates.refused(line, why);
  }

  /** @throws {Outage} if the server does not take a line that it has */
  *#checkIsWell(why: string): Asking {
    const { control } = this.#progress;
    if (control === null || (yield [control]).kind !== "stored") throw troubled(this.#place, why);
    this.#failures = 0;
  }
}

const alone = (lines: readonly Line[]): Line | null => (lines.length === 1 ? (lines[0] ?? null) : null);

const hasAll = (lines: readonly Line[], numbers: ReadonlyMap<number, unknown>) =>
  [...numbers.keys()].every((index) => lines[index] !== undefined);

/** The answer without its count of old lines. */
function uncounted<A extends Answered>(answer: A): A {
  if (answer.kind !== "some" || answer.suspicion?.kind !== "old") return answer;
  return { ...answer, suspicion: { kind: "old", count: null } };
}

/** The answer has numbers of lines that were not sent: it counts in another way, so none of its numbers is used. */
function misnumbered(words: ReadonlyMap<number, string>): Some {
  const why = [...new Set(words.values())].slice(0, 3).join("; ");
  return { kind: "some", why, dropped: null, othersStored: false, suspicion: null };
}

function troubled(place: string, why: string): Outage {
  return new Outage(`${place} takes nothing (${why}): look at its log`, {
    retryAfterMs: 30_000,
    alarm: true,
  });
}
