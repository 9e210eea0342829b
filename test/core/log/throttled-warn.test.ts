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
