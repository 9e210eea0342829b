import { describe, expect, test } from "bun:test";
import { queryDeadlineMs } from "../../src/registry/provisioning.ts";
import { aDevice } from "../kit/builders.ts";
import { keptRows } from "../kit/kept-rows.ts";
import { setting } from "./asked.ts";

describe("when the registry does not answer", () => {
  test.each(["refuses", "hangs"] as const)("it %s: stale rows serve, at once from then on", async (mood) => {
    const { clock, cache, register, ask, fake, lookup } = setting();
    register("a");
    cache.put(aDevice({ deviceId: "a" }));
    clock.advance(61_000);
    fake.mood = mood;
    expect(cache.get("acme", "a")).toBeUndefined();
    const answers = ask("a");
    await clock.pass(queryDeadlineMs + 10);
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "a")).toBeDefined();
    expect(cache.stats()).toMatchObject({ stale_hits: 2, hits: 2, misses: 1 });
    expect(lookup.stats()).toMatchObject({ available: false, waiting: 0 });
    expect(lookup.stats().last_error).toContain(mood === "hangs" ? "no answer" : "refused");
    fake.mood = "answers";
    await clock.pass(10_000);
    expect(cache.get("acme", "a")).toBeUndefined();
  });

  test("unknown devices wait REGISTRY_WAIT_MS, and not at all once it has been away as long", async () => {
    const { clock, ask, fake, lookup } = setting();
    fake.mood = "refuses";
    const first = ask("a");
    await clock.pass(4998);
    expect(first).toEqual([]);
    await clock.pass(2);
    expect(first).toEqual(["unavailable"]);
    await clock.pass(10);
    const second = ask("b");
    expect(second).toEqual([]);
    await clock.pass(1);
    expect(second).toEqual(["unavailable"]);
    expect(lookup.stats().waiting).toBe(0);
  });

  test("it is retried, at long intervals, until it answers; what still waits is answered then, and onAvailable is called once", async () => {
    const { clock, cache, register, ask, fake, queries, events, lookup } = setting();
    register("a");
    fake.mood = "refuses";
    ask("gone");
    await clock.pass(600_000);
    expect(queries.length).toBeGreaterThan(60);
    expect(queries.length).toBeLessThan(200);
    expect(events).toEqual([]);
    fake.mood = "answers";
    await clock.pass(6000);
    expect(events).toEqual(["available"]);
    const answers = ask("a");
    await clock.pass(30);
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "a")).toBeDefined();
    expect(lookup.stats()).toMatchObject({ available: true, last_error: null });
    const asked = queries.length;
    await clock.pass(60_000);
    expect(queries).toHaveLength(asked);
  });

  test.each([
    ["answered late", "answers"],
    ["never answered", "hangs"],
  ] as const)("who was given up hears of no try that is %s, and is asked for no more", async (_, mood) => {
    const { clock, ask, fake, queries, register } = setting();
    for (const id of ["a", "b"]) register(id);
    fake.mood = "hangs";
    const answers = ["a", "b"].map((id) => ask(id));
    await clock.pass(4_500);
    expect(queries).toHaveLength(2);
    [fake.mood, fake.answersAfterMs] = [mood, 1_500];
    await clock.pass(10_000);
    expect(answers).toEqual([["unavailable"], ["unavailable"]]);
    expect(queries.length).toBeGreaterThan(2);
    for (const ids of queries.slice(3)) expect(ids.map(({ deviceId }) => deviceId)).toEqual(["a"]);
  });

  test("who is given up between two tries is in none of the next", async () => {
    const { clock, ask, fake, queries } = setting();
    fake.mood = "hangs";
    ask("a");
    await clock.pass(4_800);
    const answers = ask("b");
    await clock.pass(20_000);
    expect(answers).toEqual(["unavailable"]);
    expect(queries.flat().filter(({ deviceId }) => deviceId === "b")).toHaveLength(1);
  });

  test("in each absence an unknown device waits as long, no longer, and is asked for as soon again", async () => {
    const { clock, ask, fake, queries } = setting();
    for (let n = 0; n < 3; n++) {
      fake.mood = "refuses";
      const [answers, before] = [ask(`d${n}`), queries.length];
      await clock.pass(4_999);
      expect([answers, queries.length - before]).toEqual([[], 5]);
      await clock.pass(1);
      expect(answers).toEqual(["unavailable"]);
      fake.mood = "answers";
      await clock.pass(20_000);
    }
  });

  test("once its watch stands again it is asked at once, by one query at a time", async () => {
    const { clock, ask, fake, queries, lookup } = setting();
    fake.mood = "refuses";
    ask("a");
    await clock.pass(60_000);
    while (queries.length < 20) await clock.pass(1);
    await clock.pass(1);
    fake.mood = "hangs";
    const before = queries.length;
    for (let n = 0; n < 5; n++) lookup.watcher.restored();
    await clock.pass(30);
    for (let n = 0; n < 5; n++) lookup.watcher.restored();
    await clock.pass(100);
    expect(queries).toHaveLength(before + 1);
  });

  test("nobody is asked for once it is over and nothing is to be read", async () => {
    const { clock, ask, fake, queries, lookup } = setting();
    fake.mood = "refuses";
    ask("a");
    await clock.pass(100);
    fake.mood = "answers";
    await clock.pass(10_000);
    const before = queries.length;
    lookup.watcher.restored();
    await clock.pass(100);
    expect(queries).toHaveLength(before);
  });

  test("a short absence costs an unknown device only the wait", async () => {
    const { clock, register, ask, fake } = setting();
    register("a");
    fake.mood = "refuses";
    const answers = ask("a");
    await clock.pass(200);
    fake.mood = "answers";
    await clock.pass(2000);
    expect(answers).toEqual(["ACTIVE"]);
  });

  test("a restart in the middle of the absence changes nothing for known devices", async () => {
    const before = setting();
    before.cache.put(aDevice({ deviceId: "a" }));
    const { clock, cache, ask, fake } = setting();
    fake.mood = "refuses";
    cache.restore(keptRows(before.cache, before.clock));
    const answers = ask("a");
    await clock.pass(10);
    expect(answers).toEqual(["ACTIVE"]);
    expect(cache.get("acme", "a")).toBeDefined();
  });
});
