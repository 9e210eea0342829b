import { describe, expect, test } from "bun:test";
import { faultNames, parseFaults } from "../../src/simulator/fault.ts";

describe("--faults", () => {
  test("none means no fault", () => expect(parseFaults("none")).toEqual({}));

  test("all is every fault, with a share if given", () => {
    expect(Object.keys(parseFaults("all"))).toEqual([...faultNames]);
    expect(new Set(Object.values(parseFaults("all=0.01")))).toEqual(new Set([0.01]));
  });

  test("a list gives each fault its share; a later one overrides an earlier", () => {
    expect(parseFaults("bad-token=0.02, oversize=0.01")).toEqual({ "bad-token": 0.02, oversize: 0.01 });
    expect(parseFaults("all=0.001,oversize=0.5").oversize).toBe(0.5);
  });

  test.each([
    ["bad-tokn=0.1", /no fault "bad-tokn"/],
    ["bad-token=2", /from 0 to 1/],
    ["bad-token=", /from 0 to 1/],
    ["bad-token=x", /from 0 to 1/],
    ["all=0.1", /add up to/],
  ])("%s is an error that says why", (text, words) => expect(() => parseFaults(text)).toThrow(words));
});
