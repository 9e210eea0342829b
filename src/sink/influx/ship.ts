/**
 * Brings the lines of one database to the target and says of every line what became of it.
 *
 * A line is refused only if the far side refused it alone, by number, or as one of a body of which it refused every line.
 * Words only decide how a body is parted (suspects.ts). If they are not about lines at all (a 500, words not known), halves
 * are sent until the troublemaker stands alone, and even then it is refused only if it fails each of some more times, and a
 * line that the server already has is taken after each: else an ill server would turn a backlog into dead letters. What is settled is kept
 * from try to try, so that an outage in the middle of the halving does not start it again.
 *
 * Requests are bounded whatever the words: if a server stores all but a few and the search for those has cost `searchMax`,
 * all lines among which they are become dead letters, from where they can be brought back.
 */
import { Outage } from "../../core/outage.ts";
import type { Line } from "./line.ts";
import type { Some, Verdict } from "./answer.ts";
import type { Shifts } from "./collisions.ts";
import { byTime, isOfAll, ordered, parted, typeIn, type Suspicion } from "./suspects.ts";

/** What is known of the entries of one database that were tried and are not all settled. */
export interface Progress {
  /** Entry seq → refused (true) or delivered (false). */
  readonly settled: Map<number, boolean>;
  readonly shifts: Shifts;
  /** Server errors since these entries were first tried. */
  faults: number;
  /** A line that is stored: sending it again changes nothing, and shows whether the server is well. */
  control: Line | null;
}

export type TypeSuspicion = Suspicion & { readonly kind: "type" };

export interface Shipping {
  readonly progress: Progress;
  readonly post: (lines: readonly Line[]) => Promise<Verdict>;
  readonly stored: (lines: readonly Line[]) => void;
  readonly refused: (line: Line, why: string) => void;
  /** The line with this column written as the type it has there; null if that is impossible or what it was. */
  readonly retyped: (line: Line, type: TypeSuspicion) => Line | null;
}

/** A server error is taken for an outage this many times, then for a body that the server cannot digest. */
const faultsMax = 4;
/** Halving ends when this many requests in a row failed: it is the server, not a line. */
const failuresMax = 32;
/** Columns of a line that are written anew. */
const lessonsMax = 16;
/** Lines that stand for all with the same mistake. */
const samples = 4;
/** A server of which one node of several is ill fails at random; a line that it fails for each time is the cause. */
const trials = 3;
/** Requests after which a search for refused lines among stored ones parts no further. */
const searchMax = 24;

/** @throws {Outage} if some lines are not settled. */
export async function ship(
  fits: readonly Line[],
  misfits: readonly Line[],
  shipping: Shipping,
): Promise<void> {
  const { progress, stored, refused, retyped } = shipping;
  const suspects: { line: Line; why: string }[] = [];
  let failures = 0;
  let requests = 0;

  function post(lines: readonly Line[]): Promise<Verdict> {
    requests += 1;
    return shipping.post(lines);
  }

  async function send(lines: readonly Line[], lessons = 0): Promise<void> {
    if (lines.length > 0) await settle(lines, await post(lines), lessons);
  }

  async function settle(lines: readonly Line[], verdict: Verdict, lessons: number): Promise<void> {
    if (verdict.kind === "away") throw outageOf(verdict);
    if (verdict.kind === "fault") return faulty(lines, verdict, lessons);
    failures = 0;
    if (verdict.kind === "stored") return keep(lines);
    if (verdict.kind === "lines") return listed(lines, verdict, lessons);
    if (verdict.kind === "some") return searched(lines, verdict, lessons);
    if (lines.length === 1) return refuseAll(lines, verdict.why);
    return halves(lines, lessons);
  }

  function keep(lines: readonly Line[]) {
    progress.control = lines.at(-1) ?? progress.control;
    stored(lines);
  }

  function refuseAll(lines: readonly Line[], why: string) {
    for (const line of lines) refused(line, why);
  }

  async function halves(lines: readonly Line[], lessons: number) {
    const middle = lines.length >> 1;
    await send(lines.slice(0, middle), lessons);
    await send(lines.slice(middle), lessons);
  }

  /** The server names the lines. Those that can be written as their column's type are, once more; the rest is refused. */
  function listed(lines: readonly Line[], verdict: Verdict & { kind: "lines" }, lessons: number) {
    const { refused: words, othersStored } = verdict;
    if ([...words.keys()].some((index) => lines[index] === undefined))
      return searched(lines, misnumbered(words), lessons);
    if (othersStored) keep(lines.filter((_, index) => !words.has(index)));
    const anew = lines.flatMap((line, index) => {
      const why = words.get(index);
      if (why === undefined) return othersStored ? [] : [line];
      return rewritten(line, typeIn(why), why, lessons);
    });
    return send(anew, lessons + 1);
  }

  /** The server does not name the lines. */
  async function searched(lines: readonly Line[], verdict: Some, lessons: number): Promise<void> {
    const { why, dropped, suspicion, othersStored } = verdict;
    if (lines.length === 1 || dropped === lines.length || isOfAll(lines, suspicion))
      return condemned(lines, verdict, lessons);
    if (othersStored && requests >= searchMax)
      return refuseAll(
        lines,
        `${why} (of these ${lines.length} lines; by its words the others of them are stored)`,
      );
    if (suspicion?.kind === "old" && othersStored) return tooOld(lines, verdict, lessons);
    const parts = parted(lines, suspicion);
    if (parts !== null) return halved(...parts, verdict, lessons);
    if (suspicion?.kind === "type" && !othersStored) return sampled(lines, verdict, lessons);
    const sorted = ordered(lines, suspicion);
    const middle = sorted.length >> 1;
    return halved(sorted.slice(0, middle), sorted.slice(middle), verdict, lessons);
  }

  /** If all of one part is stored, the refused lines are in the other, and it need not be asked whether they are. */
  async function halved(one: readonly Line[], other: readonly Line[], verdict: Some, lessons: number) {
    const answer = await post(one);
    await settle(one, answer, lessons);
    if (answer.kind === "stored" && verdict.othersStored) return searched(other, verdict, lessons);
    return send(other, lessons);
  }

  /**
   * All of these have a value of the type that the server refuses, and it names one of them at a time: some are asked about
   * alone, and the others go the same way.
   */
  async function sampled(lines: readonly Line[], verdict: Some, lessons: number) {
    const step = Math.ceil(lines.length / samples);
    const asked = lines.filter((_, index) => index % step === 0);
    for (const line of asked) {
      const answer = await post([line]);
      if (answer.kind === "some" && answer.suspicion?.kind === "type") continue;
      await settle([line], answer, lessons);
      return halves(
        lines.filter((each) => each !== line),
        lessons,
      );
    }
    return condemned(lines, verdict, lessons);
  }

  /** All of these are refused. What was only of another type is written anew. */
  function condemned(lines: readonly Line[], { why, suspicion }: Some, lessons: number) {
    const type = suspicion?.kind === "type" ? suspicion : null;
    return send(
      lines.flatMap((line) => rewritten(line, type, why, lessons)),
      lessons + 1,
    );
  }

  /** The line as it is written now; nothing if it is refused. */
  function rewritten(line: Line, type: TypeSuspicion | null, why: string, lessons: number): Line[] {
    const anew = type === null || lessons >= lessonsMax ? null : retyped(line, type);
    if (anew !== null) return [anew];
    refused(line, why);
    return [];
  }

  /**
   * Some of the oldest are refused and the others stored. The younger ones are sent once more: if all of those are stored,
   * the refused ones are the others.
   */
  async function tooOld(lines: readonly Line[], { why, suspicion }: Some, lessons: number) {
    const sorted = byTime(lines);
    const count = suspicion?.kind === "old" ? suspicion.count : null;
    const first = count ?? (await firstTaken(sorted));
    if (first === null || first >= sorted.length) return halves(sorted, lessons);
    const younger = sorted.slice(first);
    const verdict = count === null ? ({ kind: "stored" } as const) : await post(younger);
    if (verdict.kind !== "stored" && !isOfAge(verdict)) await send(sorted.slice(0, first), lessons);
    else refuseAll(sorted.slice(0, first), why);
    // A count that was wrong is not believed again.
    return settle(younger, isOfAge(verdict) ? { ...verdict, suspicion: uncounted } : verdict, lessons);
  }

  /** The index of the first line that is young enough, by halving; null if the answers are about something else. */
  async function firstTaken(sorted: readonly Line[]): Promise<number | null> {
    let [low, high] = [1, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const verdict = await post(sorted.slice(middle));
      if (verdict.kind === "away") throw outageOf(verdict);
      if (verdict.kind === "stored") high = middle;
      else if (isOfAge(verdict)) low = middle + 1;
      else return null;
    }
    return low;
  }

  async function faulty(lines: readonly Line[], verdict: Verdict & { kind: "fault" }, lessons: number) {
    const { why, poison } = verdict;
    progress.faults += 1;
    failures += 1;
    if (!poison && progress.faults <= faultsMax) throw new Outage(`InfluxDB (${why})`);
    if (failures > failuresMax) throw troubled(why);
    const [line] = lines;
    if (line !== undefined && lines.length === 1) suspects.push({ line, why });
    else await halves(lines, lessons);
  }

  /** Sends each suspect again and again, and each time a line that must be taken if the server is well. */
  async function convict() {
    let failed = suspects;
    for (let trial = 0; trial < trials && failed.length > 0; trial += 1) {
      failed = await failedAgain(failed);
      const [first] = failed;
      if (first !== undefined && !(await isWell())) throw troubled(first.why);
    }
    for (const { line, why } of failed) refused(line, why);
  }

  async function failedAgain(asked: typeof suspects): Promise<typeof suspects> {
    const failed: typeof suspects = [];
    for (const suspect of asked) {
      const verdict = await post([suspect.line]);
      if (verdict.kind === "away") throw outageOf(verdict);
      if (verdict.kind === "stored") keep([suspect.line]);
      else failed.push(suspect);
    }
    return failed;
  }

  const isWell = async () => progress.control !== null && (await post([progress.control])).kind === "stored";

  // What is believed not to fit its column goes apart, so that its refusal is no search among the good ones.
  await send(fits);
  await send(misfits);
  await convict();
}

const uncounted: Suspicion = { kind: "old", count: null };

const isOfAge = (verdict: Verdict): verdict is Some =>
  verdict.kind === "some" && verdict.othersStored && verdict.suspicion?.kind === "old";

/** Numbers of lines that were not sent: the server counts otherwise, so no number of it can be trusted. */
function misnumbered(words: ReadonlyMap<number, string>): Some {
  const why = [...new Set(words.values())].slice(0, 3).join("; ");
  return { kind: "some", why, dropped: null, othersStored: false, suspicion: null };
}

function troubled(why: string): Outage {
  return new Outage(`InfluxDB takes nothing (${why}): look at its log`, {
    retryAfterMs: 30_000,
    alarm: true,
  });
}

function outageOf(verdict: Verdict & { kind: "away" }): Outage {
  return new Outage(`InfluxDB (${verdict.why})`, verdict);
}
