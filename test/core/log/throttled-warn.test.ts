import { expect, test } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import { throttledWarn } from "../../../src/core/log/throttled-warn.ts";
import { recordingLog } from "../../kit/source.ts";

test("the same warning is logged once per 10 s, with the number of those left out; other warnings are not delayed", () => {
  let nowMs = 0;
  const { log, lines } = recordingLog();
  const warn = throttledWarn(log, { ...systemClock, monoMs: () => nowMs });
  for (let i = 0; i < 1000; i += 1) warn({ i }, "flood");
  warn({}, "other");
  nowMs = 10_000;
  warn({ i: 1000 }, "flood");
  expect(lines.map(({ msg, i, left_out }) => ({ msg, i, left_out }))).toEqual([
    { msg: "flood", i: 0, left_out: undefined },
    { msg: "other", i: undefined, left_out: undefined },
    { msg: "flood", i: 1000, left_out: 999 },
  ]);
});

test("of more than a hundred texts the first is logged again, and what takes long to make is made for the log alone", () => {
  const { log, lines } = recordingLog();
  const warn = throttledWarn(log, { ...systemClock, monoMs: () => 0 });
  let made = 0;
  const fields = () => ({ made: ++made });
  for (let i = 0; i < 3; i++) warn(fields, "first");
  for (let i = 1; i < 100; i++) warn({}, `text ${i}`);
  warn(fields, "first");
  warn({}, "one more");
  warn(fields, "first");
  expect(lines.filter(({ msg }) => msg === "first").map((line) => line["made"])).toEqual([1, 2]);
});
