/** Whose token is it: what a storm of tokens, right or wrong, costs the registry. */
import { describe, expect, test } from "bun:test";
import type { TokenOwner } from "../../src/core/registry.ts";
import { createTokenOwners, queryTokensMax, waitingTokensMax } from "../../src/registry/token-owners.ts";
import { simulatedClock } from "../kit/clock.ts";

/** A registry that takes `tookMs` per query, and knows the tokens that begin with "of-". */
function asked(tookMs = 0) {
  const clock = simulatedClock();
  const queries: string[][] = [];
  const state = { isAway: false, running: 0, runningMost: 0 };
  const registry = {
    async owners(hashes: readonly string[]): Promise<TokenOwner[]> {
      queries.push([...hashes]);
      state.runningMost = Math.max(state.runningMost, ++state.running);
      await new Promise<void>((resolve) => void clock.after(tookMs, resolve));
      state.running--;
      if (state.isAway) throw new Error("away");
      const known = hashes.filter((hash) => hash.startsWith("of-"));
      return known.map((tokenHash) => ({ tenantId: "acme", deviceId: tokenHash.slice(3), tokenHash }));
    },
  };
  return { clock, queries, state, owners: createTokenOwners({ registry, clock }) };
}

describe("tokens that are asked for together", () => {
  test("are one query, each once, and everybody hears his own", async () => {
    const { clock, queries, owners } = asked();
    const answers = Promise.all(["of-d1", "of-d2", "nobody's", "of-d1"].map((hash) => owners.of(hash)));
    await clock.pass(100);
    expect((await answers).map(([first]) => first?.deviceId)).toEqual(["d1", "d2", undefined, "d1"]);
    expect(queries).toEqual([["of-d1", "of-d2", "nobody's"]]);
  });

  test("are refused beyond a bound, and answered in parts", async () => {
    const { clock, queries, owners } = asked();
    const many = Array.from({ length: waitingTokensMax + 5 }, (_, n) => owners.of(`t${n}`));
    const all = Promise.allSettled(many);
    await clock.pass(1000);
    expect((await all).filter(({ status }) => status === "rejected")).toHaveLength(5);
    expect(queries.map((query) => query.length)).toEqual([queryTokensMax, queryTokensMax]);
  });
});

test("a storm has at most a fifth of the time of one connection, however slow a query is", async () => {
  for (const tookMs of [1, 100, 1500]) {
    const { clock, queries, state, owners } = asked(tookMs);
    for (let n = 0; n < 3000; n++) {
      owners.of(`wrong-${n}`).catch(() => {});
      await clock.pass(10);
    }
    expect(state.runningMost).toBe(1);
    expect(queries.length * tookMs).toBeLessThanOrEqual(30_000 / 5 + tookMs);
    expect(queries.length).toBeGreaterThan(2);
  }
});

test("a token is found the moment it is registered, since nothing is kept of an answer", async () => {
  const { clock, owners, queries } = asked();
  const before = owners.of("d1");
  await clock.pass(100);
  const after = owners.of("of-d1");
  await clock.pass(100);
  expect([(await before).length, (await after).length, queries.length]).toEqual([0, 1, 2]);
});

test("while the registry does not answer, who asks hears that, and it is tried once per second", async () => {
  const { clock, owners, queries, state } = asked();
  state.isAway = true;
  const failed: unknown[] = [];
  for (let n = 0; n < 100; n++) {
    owners.of(`of-${n}`).catch((error: unknown) => failed.push(error));
    await clock.pass(100);
  }
  await clock.pass(2000);
  expect(failed).toHaveLength(100);
  expect(queries.length).toBeLessThanOrEqual(12);
  state.isAway = false;
  const found = owners.of("of-d1");
  await clock.pass(2000);
  expect(await found).toMatchObject([{ deviceId: "d1" }]);
});

test("a registry that never answers is not waited for", async () => {
  const { clock, owners } = asked(1e9);
  const refused = owners.of("of-d1").catch((error: Error) => error.message);
  await clock.pass(3000);
  expect(await refused).toContain("no answer within");
});
