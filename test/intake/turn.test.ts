/** The intake's turn: what it takes in at a stretch before the others on its thread have theirs. */
import { afterEach, expect, test } from "bun:test";
import { turnMs } from "../../src/intake/turn.ts";
import { aRegistry, aDeviceMessage, intake, numberOf } from "../kit/intake.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const devices = ["a", "b", "c"];

test.each([1, 3])(
  "what the look-ups of %i devices answer goes on in turns, and each device in its order",
  (count) => {
    const part = intake(kit, aRegistry(devices));
    part.state.acceptMs = 1;
    for (let n = 0; n < 120; n++) part.port.receive(aDeviceMessage(n, devices[n % count] ?? ""));
    part.answer();
    let [reads, acceptedAtRead] = [0, 0];
    const readOn = () => {
      if (part.port.putsOff(readOn)) return;
      reads++;
      acceptedAtRead = part.books.totals().accepted;
    };
    readOn();
    // Who else has something to do, as often as he is let.
    const seen: number[] = [];
    const others = () => {
      seen.push(part.books.totals().accepted);
      expect(part.balanced()).toBe(true);
      if (seen.at(-1) !== 120) part.clock.after(0, others);
    };
    others();
    part.clock.advance(1_000);
    expect(seen).toEqual(Array.from({ length: 120 / turnMs }, (_, i) => (i + 1) * turnMs));
    expect(acceptedAtRead).toBeGreaterThanOrEqual(turnMs * (count + 1));
    expect(reads).toBe(1);
    for (const device of devices.slice(0, count)) {
      const numbers = part.durable
        .filter(({ topic }) => topic.includes(`/${device}/`))
        .map((it) => numberOf(it.payload));
      expect(numbers).toEqual(
        Array.from({ length: 120 / count }, (_, i) => i * count + devices.indexOf(device)),
      );
    }
  },
);

test("nothing is put off before the turn is over, and what is put off goes on once, in its order", () => {
  const { clock, port } = intake(kit, aRegistry([]));
  const went: number[] = [];
  const puts = (n: number) => port.putsOff(() => went.push(n));
  expect(puts(1)).toBe(false);
  clock.spend(turnMs - 1);
  expect(puts(2)).toBe(false);
  clock.spend(1);
  expect([puts(3), puts(4)]).toEqual([true, true]);
  expect(went).toEqual([]);
  clock.advance(0);
  expect(went).toEqual([3, 4]);
  expect(puts(5)).toBe(false);
  clock.advance(1_000);
  expect(went).toEqual([3, 4]);
});
