/**
 * Which entries of a delivery Kafka refuses for good: those that were refused alone, twice, each time in a try in which another entry
 * of the topic was taken. A topic that takes nothing (`max.message.bytes` set too low) refuses none of them for its own sake; and
 * since its setting may change in the middle of a try, one try proves nothing.
 */
import type { Entry } from "../../core/entry.ts";
import type { Topic } from "../../kafka/requests.ts";
import type { Fault, Load } from "./session.ts";

type Kind = Entry["kind"];

interface Try {
  readonly loads: readonly Load[];
  readonly faults: readonly Fault[];
  /** Why entries were refused alone, by seq. */
  readonly alone: ReadonlyMap<number, string>;
  readonly validated: Topic;
}

export const strikesMax = 2;

export class Verdicts {
  /** Why entries are refused, by seq; also those that are to be refused untried. */
  readonly whys: Map<number, string>;
  readonly #strikes = new Map<number, number>();
  readonly #kindOf: (seq: number) => Kind | undefined;

  constructor(aside: ReadonlyMap<number, string>, kindOf: (seq: number) => Kind | undefined) {
    this.whys = new Map(aside);
    this.#kindOf = kindOf;
  }

  /** @returns a kind of which every entry was refused, each alone: only entries behind the delivery can tell why */
  note({ loads, faults, alone, validated }: Try): { readonly kind: Kind; readonly why: string } | undefined {
    const refused = new Set(faults.map(({ batch }) => batch));
    const kindsOf = (those: (batch: Fault["batch"]) => boolean) =>
      new Set(
        loads
          .filter(({ batches }) => batches.some(those))
          .map(({ topic }): Kind => (topic === validated ? "event" : "reject")),
      );
    const taken = kindsOf((batch) => !refused.has(batch));
    const inDoubt = kindsOf((batch) => refused.has(batch) && batch.count > 1);
    let stuck: ReturnType<Verdicts["note"]>;
    for (const [seq, why] of alone) {
      const kind = this.#kindOf(seq);
      if (kind === undefined) continue;
      if (taken.has(kind)) this.#strike(seq, why);
      else if (!inDoubt.has(kind)) stuck = { kind, why };
    }
    return stuck;
  }

  #strike(seq: number, why: string): void {
    const strikes = (this.#strikes.get(seq) ?? 0) + 1;
    this.#strikes.set(seq, strikes);
    if (strikes >= strikesMax) this.whys.set(seq, why);
  }
}
