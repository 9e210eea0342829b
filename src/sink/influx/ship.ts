/**
 * Brings the lines of one database to the target and says of every line what became of it.
 *
 * A line is refused only where the far side's words are about lines. Where they are not (a 500, words not known),
 * halves are sent until the troublemaker stands alone, and even then it is refused only after a line that the server
 * already has was taken once more: else an ill server would turn a backlog into dead letters. What is settled is kept
 * from try to try, so that an outage in the middle of the halving does not start it again.
 */
import { Outage } from "../outage.ts";
import { Unwritable, type Line } from "../line.ts";
import type { Verdict } from "./answer.ts";
import type { Shifts } from "./collisions.ts";

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

export interface Shipping {
  readonly progress: Progress;
  readonly post: (lines: readonly Line[]) => Promise<Verdict>;
  readonly stored: (lines: readonly Line[]) => void;
  readonly refused: (line: Line, why: string) => void;
  /** Learns from the far side's words; true where they said something new about a column. */
  readonly learn: (line: Line, why: string) => boolean;
  /** The line as it is written now. @throws {Unwritable} */
  readonly again: (line: Line) => Line;
}

/** A server error is taken for an outage this many times, then for a body that the server cannot digest. */
const faultsMax = 4;
/** Halving ends when this many requests in a row failed: it is the server, not a line. */
const failuresMax = 32;
/** Times that lines are written anew after a lesson about their columns. */
const lessonsMax = 16;

/** @throws {Outage} where some lines are not settled. */
export async function ship(all: readonly Line[], shipping: Shipping): Promise<void> {
  const { progress, post, stored, refused, learn, again } = shipping;
  const suspects: { line: Line; why: string }[] = [];
  let failures = 0;

  async function send(lines: readonly Line[], lessons: number): Promise<void> {
    if (lines.length === 0) return;
    const verdict = await post(lines);
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
    lines.forEach((line, index) => words.has(index) && learn(line, words.get(index) ?? ""));
    const anew = lines.flatMap((line, index) => {
      const why = words.get(index);
      if (why === undefined) return othersStored ? [] : [line];
      return rewritten(line, why, lessons, false);
    });
    return send(anew, lessons + 1);
  }

  /** The server does not name the lines: what a lesson changes is written anew, else halves find them. */
  function searched(lines: readonly Line[], { why, dropped }: Verdict & { kind: "some" }, lessons: number) {
    const first = lines[0];
    if (first !== undefined && lessons < lessonsMax && learn(first, why))
      return send(
        lines.flatMap((line) => rewritten(line, why, lessons, true)),
        lessons + 1,
      );
    if (lines.length === 1 || dropped === lines.length) return refuseAll(lines, why);
    return halves(lines, lessons);
  }

  /** The line as it is written now; nothing where it is refused. `unchanged`: may it go out as it was? */
  function rewritten(line: Line, words: string, lessons: number, unchanged: boolean): Line[] {
    try {
      const anew = again(line);
      if (unchanged || (lessons < lessonsMax && anew.fields !== line.fields)) return [anew];
      refused(line, words);
    } catch (error) {
      if (!(error instanceof Unwritable)) throw error;
      refused(line, `${error.message} (${words})`);
    }
    return [];
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

  /** Sends each suspect once more, and then a line that must be taken if the server is well. */
  async function convict() {
    const failed: typeof suspects = [];
    for (const suspect of suspects) {
      const verdict = await post([suspect.line]);
      if (verdict.kind === "away") throw outageOf(verdict);
      if (verdict.kind === "stored") keep([suspect.line]);
      else failed.push(suspect);
    }
    const [first] = failed;
    if (first === undefined) return;
    if (progress.control === null || (await post([progress.control])).kind !== "stored")
      throw troubled(first.why);
    for (const { line, why } of failed) refused(line, why);
  }

  await send(all, 0);
  await convict();
}

/** Numbers of lines that were not sent: the server counts otherwise, so no number of it can be trusted. */
function misnumbered(words: ReadonlyMap<number, string>): Verdict & { kind: "some" } {
  return { kind: "some", why: [...new Set(words.values())].slice(0, 3).join("; "), dropped: null };
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
