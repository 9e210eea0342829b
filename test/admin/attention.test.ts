/** The one sentence about a gateway: the worst thing first, since when, and the remedy. */
import { beforeEach, expect, test } from "bun:test";
import { type AttentionWatch, watchAttention } from "../../src/admin/attention.ts";
import type { Sample } from "../../src/admin/history.ts";
import type { PartReadiness } from "../../src/admin/readiness.ts";
import type { SinkView } from "../../src/admin/measurements.ts";
import { type SimulatedClock, simulatedClock } from "../kit/clock.ts";
import { noStats } from "../kit/view.ts";

const sink: SinkView = {
  delivered: 0,
  ignored: 0,
  refused: 0,
  skipped: 0,
  spooled: 7,
  waiting: 1_139,
  alarms: [],
};
const facts: Parameters<AttentionWatch["now"]>[0] = {
  balanced: true,
  spool: { ...noStats.spool, entries: 7, bytes: 1, offline_hours_left: 72 },
  sinks: { postgres: sink, influx: sink },
  sinkRemedies: new Map(),
  sources: [{ kind: "mqtt" }],
  certificates: [],
  watchdog: noStats.watchdog,
  samples: [],
};
const names = [
  "source mqtt",
  "clock",
  "intake",
  "spool",
  "registry",
  "sink postgres",
  "sink influx",
  "dead letters",
];

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

test("a gateway that is being stopped says so: that its parts end is no trouble", () => {
  clock.advance(10_000);
  const begun = new Date(clock.wallMs()).toISOString();
  watch.stopping();
  broken.set("source mqtt", "closed");
  clock.advance(5_000);
  expect(now()).toMatchObject({ level: "warning", text: "The gateway is being stopped", since: begun });
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
  const again = new Date(clock.wallMs()).toISOString();
  for (const laterMs of [0, 300, 300]) {
    clock.advance(laterMs);
    expect(now().since).toBe(again);
  }
});

test("a source that the broker refuses a part of is not said to be away", () => {
  broken.set("source mqtt", "the broker refuses to subscribe us to a/#");
  const told = now({ ...facts, sources: [{ kind: "mqtt", not_subscribed: 1 }] });
  expect(told).toMatchObject({
    level: "critical",
    text: "Source mqtt: the broker refuses a part of what it is to bring",
  });
  const whole = now({ ...facts, sources: [{ kind: "mqtt", not_subscribed: 0 }] });
  expect(whole.text).toBe("Source mqtt away: nothing comes in through it");
  broken.clear();
});

test("another client with the source's id is told of while the connection is good", () => {
  const rival = "another client with the same id, g1, took our session";
  expect(now({ ...facts, sources: [{ kind: "mqtt", rival }] })).toMatchObject({
    level: "warning",
    text: "Another client seems to have the client id of source mqtt",
    detail: rival,
  });
  expect(now({ ...facts, sources: [{ kind: "mqtt", rival: null }] }).text).toBe("Working");
});

test.each([
  ["unread", "A part of source kafka is not read"],
  ["loss_ahead", "The broker of source kafka keeps too little for this gateway"],
])("what a source says of itself under %s is told of as long as that lasts", (field, text) => {
  const words = "it grants QoS 0 only";
  const told = now({ ...facts, sources: [{ kind: "kafka", [field]: words }] });
  expect(told).toMatchObject({ level: "warning", text, detail: words });
  expect(now({ ...facts, sources: [{ kind: "kafka", [field]: null }] }).text).toBe("Working");
});

test.each([
  ["lost_at", "Source kafka lost messages"],
  ["session_lost_at", "The broker of source kafka says that it lost our session"],
])("what was lost by %s is told of for an hour", (field, text) => {
  const at = new Date(clock.wallMs()).toISOString();
  const sources = [{ kind: "kafka", lost: 40, [field]: at }];
  expect(now({ ...facts, sources })).toMatchObject({ level: "warning", text, since: at });
  clock.advance(3_601_000);
  expect(now({ ...facts, sources }).text).toBe("Working");
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

test("a sink that lost what it held is told of until it is filled again, though it takes what is new", () => {
  const filled = (refill_reason: string | null) =>
    now({ ...facts, sinks: { postgres: sink, redis: { ...sink, refill_reason } } });
  const detail = "Redis lost what it held: filling it from the spool and the tables, in 70 s";
  expect(filled(detail)).toMatchObject({ level: "warning", text: "Sink redis lacks values", detail });
  expect(filled(null).text).toBe("Working");
});

test("a sink without a server says itself what to see to, any other has one", () => {
  const parts = [{ part: "sink local", ok: false, detail: "database is locked" }];
  const told = { ...facts, sinkRemedies: new Map([["local", "its file is not locked"]]) };
  expect(watch.now(told, parts).remedy).toEndWith(" See that its file is not locked.");
  expect(watch.now(facts, parts).remedy).toEndWith(
    " See that its server runs and can be reached, and see to what is said above.",
  );
});

test("what stops the intake comes before what waits, and an alarm before an outage", () => {
  const order: string[] = [];
  for (const part of names) broken.set(part, "broken");
  const alarmed = {
    ...facts,
    sinks: { ...facts.sinks, influx: { ...sink, alarms: [{ lane: "", why: "no right", scope: "lane" }] } },
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
    "The spool cannot be read where messages wait to be judged",
    "Source mqtt away: nothing comes in through it",
    "Sink influx stands still until somebody acts",
    "Sink postgres cannot deliver",
    "The device registry does not answer",
    "The host's clock is not believed",
    "dead letters cannot do its work",
  ]);
});

test("an alarm names the databases that stand still, if the others go on", () => {
  broken.set("sink influx", "no right");
  const textOf = (...alarms: readonly { lane: string; scope: string }[]) =>
    now({ ...facts, sinks: { ...facts.sinks, influx: { ...sink, alarms } } }).text;
  const [one, other] = ["telemetry_a", "telemetry_b"].map((lane) => ({ lane, scope: "lane" }));
  if (one === undefined || other === undefined) throw new Error("there are two");
  expect(textOf(one)).toBe("Sink influx stands still for telemetry_a until somebody acts");
  expect(textOf(one, other)).toBe("Sink influx stands still for telemetry_a and 1 more until somebody acts");
  expect(textOf({ ...one, scope: "sink" }, other)).toBe("Sink influx stands still until somebody acts");
});

test("books that do not balance come before everything", () => {
  broken.set("intake", "the disk is full");
  expect(now({ ...facts, balanced: false })).toMatchObject({
    level: "critical",
    text: "The books do not balance",
  });
});

test("each part in trouble has its own words, time and remedy, not only the worst", () => {
  broken.set("sink influx", "connection refused");
  clock.advance(5_000);
  const begun = new Date(clock.wallMs()).toISOString();
  for (const part of names) broken.set(part, `${part} is broken`);
  const states = watch.partStates(facts, ready());
  expect(states.map(({ part }) => part)).toEqual(names);
  for (const { part, ok, detail, since, remedy } of states) {
    expect([part, ok, detail]).toEqual([part, false, `${part} is broken`]);
    expect(since === begun).toBe(part !== "sink influx");
    expect(remedy?.length).toBeGreaterThan(10);
  }
  clock.advance(300);
  expect(watch.partStates(facts, ready())).toEqual(states);
  expect(states.find(({ part }) => part === "source mqtt")?.remedy).toContain("sluice check");
  broken.clear();
  for (const { since, remedy } of watch.partStates(facts, ready()))
    expect([since, remedy]).toEqual([null, null]);
});

const days = (n: number) => new Date(clock.wallMs() + n * 86_400_000).toISOString();
const { spool } = noStats;

/** A sample per minute, the last of them `endedMinutes` ago. */
const minutes = (count: number, rejected: Record<string, number>, endedMinutes = 0): Sample[] =>
  Array.from({ length: count }, (_, i) => ({
    at: days((i + 1 - count - endedMinutes) / 1_440),
    accepted: 90,
    duplicate: 4,
    rejected,
    to_disk_ms: null,
    to_sink_ms: {},
    waiting: {},
    spool_bytes: 0,
  }));

test.each([
  [
    () => ({ watchdog: { progressing: false, stalls: 1 } }),
    "Messages wait without a known reason",
    "critical",
  ],
  [() => ({ spool: { ...spool, bytes: 8_001 } }), "The spool is 80 % full", "warning"],
  [
    () => ({ spool: { ...spool, free_disk_bytes: 1_999_999 } }),
    "The disk of DATA_DIR is nearly full",
    "warning",
  ],
  [
    () => ({ certificates: [ends("A", 90), ends("MQTT_TLS_CA", 13.9)] }),
    "The certificate of MQTT_TLS_CA ends in 13 days",
    "warning",
  ],
  [() => ({ certificates: [ends("B", 5), ends("A", -1)] }), "The certificate of A has ended", "critical"],
  [() => ({ certificates: [ends("A", 0)] }), "The certificate of A has ended", "critical"],
  [
    () => ({ samples: [...minutes(3, {}, 10), ...minutes(10, { BAD_SEQ: 2, TOKEN_INVALID: 4 })] }),
    "6 % of the messages are rejected",
    "warning",
  ],
  [() => ({ samples: minutes(10, { BAD_SEQ: 6 }, 1) }), "6 % of the messages are rejected", "warning"],
] as const)("what is at risk while all parts work is told: %#", (change, text, level) => {
  const risky = { ...facts, ...change() };
  expect(now(risky)).toMatchObject({ text, level });
  expect(now(risky).remedy?.length).toBeGreaterThan(20);
  broken.set("sink influx", "connection refused");
  expect(now(risky).text).toBe("Sink influx cannot deliver");
});

test("of several risks the worst is told, and the next once that is over", () => {
  const at = days(0);
  const risky: [Partial<typeof facts>, text: string][] = [
    [{ watchdog: { progressing: false, stalls: 1 } }, "Messages wait without a known reason"],
    [{ spool: { ...spool, bytes: 8_001, free_disk_bytes: 1_999_999 } }, "The spool is 80 % full"],
    [{ spool: { ...spool, free_disk_bytes: 1_999_999 } }, "The disk of DATA_DIR is nearly full"],
    [{ sinks: { redis: { ...sink, refill_reason: "it is new" } } }, "Sink redis lacks values"],
    [{ certificates: [ends("A", 1)] }, "The certificate of A ends in 24 hours"],
    [
      { sources: [{ kind: "kafka", unread: "damaged", lost: 1, lost_at: at }] },
      "A part of source kafka is not read",
    ],
    [{ sources: [{ kind: "kafka", lost: 1, lost_at: at }] }, "Source kafka lost messages"],
    [{ samples: minutes(10, { BAD_SEQ: 6 }) }, "6 % of the messages are rejected"],
  ];
  const told = risky.map((_, from) =>
    // The first that is left counts, of those that concern one part.
    now(
      Object.assign(
        {},
        facts,
        ...risky
          .slice(from)
          .toReversed()
          .map(([change]) => change),
      ),
    ),
  );
  expect(told.map(({ text }) => text)).toEqual(risky.map(([, text]) => text));
});

test("how much room there is is told if it is known, and of a source what concerns itself", () => {
  broken.set("sink influx", "connection refused");
  expect(now({ ...facts, spool: { ...facts.spool, offline_hours_left: null } }).remedy).not.toContain("room");
  broken.clear();
  broken.set("source mqtt", "connection refused");
  const sources = [{ kind: "mqtt" }, { kind: "other", not_subscribed: 1 }];
  expect(now({ ...facts, sources }).text).toBe("Source mqtt away: nothing comes in through it");
  watch.stopping();
  expect(now({ ...facts, balanced: false }).text).toBe("The books do not balance");
});

test("of a disk that is nearly full it is told that it costs the local store its oldest rows, where there is one", () => {
  const short = { ...facts, spool: { ...spool, free_disk_bytes: 1_999_999 } };
  expect(now(short).remedy).toEndWith("(SPOOL_MIN_FREE_BYTES) the intake is held.");
  expect(now({ ...short, sinks: { local: sink } }).remedy).toEndWith(
    "the oldest rows of the local store go.",
  );
});

test.each([
  [() => ({ spool: { ...spool, bytes: 8_000 } })],
  [() => ({ spool: { ...spool, free_disk_bytes: 2_000_000 } })],
  [() => ({ spool: { ...spool, free_disk_bytes: null } })],
  [() => ({ certificates: [ends("A", 14)] })],
  // 4.95 % of what came, of which duplicates and rejects are a part.
  [() => ({ samples: [...minutes(1, { BAD_SEQ: 4 }, 9), ...minutes(9, { BAD_SEQ: 5 })] })],
  [() => ({ samples: [...minutes(5, {}, 12), ...minutes(9, { TOKEN_INVALID: 900 })] })],
  [() => ({ samples: minutes(10, { TOKEN_INVALID: 900 }, 2) })],
])("what is no risk yet is not told: %#", (change) => {
  expect(now({ ...facts, ...change() }).text).toBe("Working");
});

function ends(setting: string, inDays: number) {
  return { setting, ends_at: days(inDays) };
}

test("who reads that many are rejected is told the reason that is most frequent", () => {
  const told = now({ ...facts, samples: minutes(10, { BAD_SEQ: 2, TOKEN_INVALID: 4 }) });
  expect(told.detail).toBe("60 in the last ten minutes, most often TOKEN_INVALID");
  expect(told.remedy).toStartWith("`sluice help TOKEN_INVALID` says");
});

test("an intake that is held for another reason than room is to be seen to by its own words", () => {
  const parts = [{ part: "intake", ok: false, detail: "there is no directory /data any more: put it back" }];
  expect(watch.now(facts, parts).remedy).toContain(" Else see to what is said above.");
});
