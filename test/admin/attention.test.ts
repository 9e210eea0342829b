/** The one sentence about a gateway: the worst thing first, since when, and the remedy. */
import { beforeEach, expect, test } from "bun:test";
import { type AttentionWatch, watchAttention } from "../../src/admin/attention.ts";
import type { PartReadiness, SinkView } from "../../src/admin/views.ts";
import { type SimulatedClock, simulatedClock } from "../kit/clock.ts";

const sink: SinkView = {
  delivered: 0,
  ignored: 0,
  refused: 0,
  skipped: 0,
  spooled: 7,
  waiting: 1_139,
  alarms: [],
};
const facts = {
  balanced: true,
  spool: { entries: 7, bytes: 1, oldest_age_seconds: 0, offline_hours_left: 72 },
  sinks: { postgres: sink, influx: sink },
  sources: [{ kind: "mqtt" }],
};
const names = ["source mqtt", "clock", "intake", "registry", "sink postgres", "sink influx", "dead letters"];

let clock: SimulatedClock;
let broken: Map<string, string>;
let watch: AttentionWatch;

const ready = (): PartReadiness[] =>
  names.map((part) => ({ part, ok: !broken.has(part), detail: broken.get(part) ?? "fine" }));
const now = (given = facts) => watch.now(given, ready());

beforeEach(() => {
  clock = simulatedClock();
  broken = new Map();
  watch = watchAttention(clock, ready);
});

test("a gateway is working if every part of it works", () => {
  expect(now()).toEqual({ level: "working", text: "Working", since: null, detail: null, remedy: null });
});

test("the time is when the trouble began, and disappears with it", () => {
  clock.advance(10_000);
  broken.set("sink influx", "connection refused");
  const begun = new Date(clock.wallMs() + 1_000).toISOString();
  clock.advance(60_000);
  expect(now()).toMatchObject({
    level: "warning",
    text: "Sink influx cannot deliver",
    detail: "connection refused",
    since: begun,
  });
  expect(now().remedy).toContain("1,139 entries wait in the spool; there is room for 3 days");
  broken.clear();
  clock.advance(1_000);
  broken.set("sink influx", "connection refused");
  expect(now().since).toBe(new Date(clock.wallMs()).toISOString());
});

test("messages that the broker dropped are told of for an hour, after all that can be mended", () => {
  const at = new Date(clock.wallMs()).toISOString();
  const lost = { ...facts, sources: [{ kind: "mqtt", broker_dropped: 1505, broker_dropped_at: at }] };
  expect(now(lost)).toMatchObject({
    level: "warning",
    text: "The broker of source mqtt dropped messages",
    since: at,
  });
  expect(now(lost).detail).toContain("1,505");
  broken.set("sink influx", "connection refused");
  expect(now(lost).text).toBe("Sink influx cannot deliver");
  broken.clear();
  clock.advance(3_601_000);
  expect(now(lost).text).toBe("Working");
  const none = { ...facts, sources: [{ kind: "mqtt", broker_dropped: 0, broker_dropped_at: null }] };
  expect(now(none).text).toBe("Working");
});

test("what stops the intake comes before what waits, and an alarm before an outage", () => {
  const order: string[] = [];
  for (const part of names) broken.set(part, "broken");
  const alarmed = {
    ...facts,
    sinks: { ...facts.sinks, influx: { ...sink, alarms: [{ lane: "acme", why: "no right" }] } },
  };
  while (broken.size > 0) {
    const { text } = now(alarmed);
    order.push(text);
    const worst = [...broken.keys()].find((part) => {
      const without = ready().map((it) => (it.part === part ? { ...it, ok: true } : it));
      return watch.now(alarmed, without).text !== text;
    });
    broken.delete(worst ?? "");
  }
  expect(order).toEqual([
    "Intake held: nothing is acknowledged",
    "Source mqtt away: nothing comes in through it",
    "Sink influx stands still until somebody acts",
    "Sink postgres cannot deliver",
    "The device registry does not answer",
    "The host's clock is not believed",
    "dead letters cannot do its work",
  ]);
});

test("books that do not balance come before everything", () => {
  broken.set("intake", "the disk is full");
  expect(now({ ...facts, balanced: false })).toMatchObject({
    level: "critical",
    text: "The books do not balance",
  });
});
