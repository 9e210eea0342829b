/** Values for documents, drawn at random from what is awkward somewhere behind the judge. */
import type { Random } from "../../src/simulator/random.ts";
import { object, type Pair, type Value } from "./json.ts";
import { numbers, sharp } from "./world.ts";

export function metric(chance: Random): Value {
  if (chance.next() < 0.6) return chance.whole(-1000, 1000) / 8;
  return chance.pick<() => Value>([
    () => chance.pick(numbers),
    () => word(chance),
    () => true,
    () => null,
    () => chance.whole(0, 9),
  ])();
}

export function word(chance: Random): string {
  return Array.from({ length: chance.whole(0, 6) }, () =>
    chance.next() < 0.5 ? chance.pick(sharp) : chance.pick(["a", "temp_c", "seq", "time", "x"]),
  ).join("");
}

export function anything(chance: Random, depth = 0): Value {
  const flat: (() => Value)[] = [
    () => word(chance),
    () => chance.pick(numbers),
    () => null,
    () => true,
    () => "",
  ];
  if (depth > 3) return chance.pick(flat as [() => Value])();
  const deep: (() => Value)[] = [
    () => Array.from({ length: chance.whole(0, 3) }, () => anything(chance, depth + 1)),
    () =>
      object(
        ...Array.from({ length: chance.whole(0, 3) }, (): Pair => [
          word(chance),
          anything(chance, depth + 1),
        ]),
      ),
  ];
  return chance.pick([...flat, ...deep] as [() => Value, ...(() => Value)[]])();
}
