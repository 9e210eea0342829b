/** A slow network, a server that never answers, and one whose log is dead: what gets through, and at what size. */
import { describe, expect, test } from "bun:test";
import { Outage } from "../../src/core/outage.ts";
import { createPace } from "../../src/core/pace.ts";
import { event, events } from "../contract/entries.ts";
import { simulatedClock } from "../kit/clock.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { startInflux3, type Influx3 } from "../kit/influx3.ts";
import { openInflux, type TestSink } from "../kit/influxsink.ts";

const ends = endsAfterEach();

async function start(
  fake: Parameters<typeof startInflux3>[0] = {},
  timeoutMs = 10_000,
): Promise<{ server: Influx3; influx: TestSink }> {
  const server = await startInflux3(fake);
  ends.push(() => server.stop());
  const influx = openInflux({ url: server.url, timeoutMs });
  ends.push(() => influx.dispose());
  return { server, influx };
}

describe("the size of a request", () => {
  test("halves with each time-out, and grows back in as many answers", () => {
    const pace = createPace(10_000);
    for (const attempted of [9_000, 4_500, 2_250]) pace.tooMuch(attempted);
    expect(pace.size).toBe(1_125);
    for (let answers = 0; answers < 4; answers += 1) pace.taken(pace.size);
    expect(pace.size).toBe(10_000);
    pace.taken(10_000);
    pace.tooMuch(10_000);
    pace.taken(5_000);
    // It was no try that failed: a single answer is enough.
    expect(pace.size).toBe(10_000);
  });

  test("halves once if several under way get no answer", () => {
    const pace = createPace(10_000);
    for (let lane = 0; lane < 4; lane += 1) pace.tooMuch(9_000);
    expect(pace.size).toBe(4_500);
    for (const attempted of [4_500, 9_000]) pace.tooMuch(attempted);
    expect(pace.size).toBe(2_250);
  });

  test("a size that fails again and again is tried less and less often", () => {
    const pace = createPace(10_000);
    const carries = 3_000;
    let timeouts = 0;
    for (let requests = 0; requests < 500; requests += 1) {
      if (pace.size <= carries) pace.taken(pace.size);
      else {
        pace.tooMuch(pace.size);
        timeouts += 1;
      }
    }
    expect(timeouts).toBeLessThan(20);
    // At most 64 before the next try, which is through, and one for what was the size at first.
    for (let answers = 0; answers < 66; answers += 1) pace.taken(pace.size);
    expect(pace.size).toBe(10_000);
    pace.taken(10_000);
    pace.tooMuch(10_000);
    pace.taken(5_000);
    // It got through: the patience is no longer what it was.
    expect(pace.size).toBe(10_000);
  });

  test("does not change because of small requests", () => {
    const pace = createPace(10_000);
    pace.tooMuch(9_000);
    for (const small of [100, 2_250]) for (let answers = 0; answers < 100; answers += 1) pace.taken(small);
    expect(pace.size).toBe(4_500);
  });
});

/** As the drain does: the oldest entries, as many as the sink takes at a time, until all are delivered. */
async function drain(influx: TestSink, last: number): Promise<number> {
  let done = 0;
  for (let tries = 1; ; tries += 1) {
    const upTo = Math.min(last, done + influx.sink.batchMax);
    try {
      await influx.deliver(events(done + 1, upTo));
      done = upTo;
    } catch (error) {
      if (tries > 40) throw error;
      await Bun.sleep(error instanceof Outage ? error.retryAfterMs + 1 : 0);
    }
    if (done === last) return tries;
  }
}

test("a body that is too slow for the network is made smaller until it gets through, and grows again", async () => {
  const { server, influx } = await start({}, 600);
  server.set({ fault: ({ body }) => (body.split("\n").length > 300 ? "hang" : null) });
  await drain(influx, 2_000);
  expect(server.stored()).toBe(2_000);
  expect(influx.sink.batchMax).toBeLessThanOrEqual(600);
  server.set({ fault: () => null });
  await drain(influx, 4_000);
  expect(influx.sink.batchMax).toBeGreaterThan(600);
  expect(server.stored()).toBe(4_000);
});

/** What a proxy in front of the server does with a body that is larger than it takes. */
const proxies = {
  "answers 413": { status: 413, text: "<html>413 Request Entity Too Large</html>" },
  "breaks the connection off": "reset",
} as const;

test.each(Object.entries(proxies))(
  "a proxy that %s for a body of more than 300 lines is remembered, and sent no more once it takes them",
  async (_, fault) => {
    const { server, influx } = await start();
    server.set({ fault: ({ body }) => (body.split("\n").length > 300 ? fault : null) });
    const tooMany = () => server.writes.filter(({ status }) => status !== 204).length;
    await drain(influx, 2_000);
    expect(influx.sink.batchMax).toBeLessThanOrEqual(600);
    expect(server.stored()).toBe(2_000);
    const before = tooMany();
    await drain(influx, 12_000);
    // Larger ones are tried now and then, less and less often.
    expect(tooMany() - before).toBeLessThan(10);
    expect(influx.refused.size).toBe(0);
    server.set({ fault: () => null });
    await drain(influx, 40_000);
    expect(influx.sink.batchMax).toBeGreaterThan(600);
  },
);

test("one line that is too large alone makes no batch smaller", async () => {
  const { influx } = await start({ bodyBytesMax: 100_000 });
  const long = event(3, { payload: JSON.stringify({ metrics: { note: "x".repeat(110_000) } }) });
  expect(await influx.deliver([event(1), event(2), long, event(4)])).toMatchObject({ delivered: 3 });
  expect(influx.sink.batchMax).toBe(10_000);
});

test("a full disk gives no answer until there is room: nothing is lost, and all is delivered then", async () => {
  const { server, influx } = await start({}, 1_000);
  server.set({ diskFull: true });
  for (let tries = 0; tries < 2; tries += 1)
    await expect(influx.deliver(events(1, 50))).rejects.toThrow("no answer within 1000 ms");
  server.set({ diskFull: false });
  await drain(influx, 50);
  expect(server.stored()).toBe(50);
  expect(influx.refused.size).toBe(0);
});

describe("the write-ahead log of InfluxDB 3", () => {
  const endMs = Date.UTC(2262, 3, 11, 23, 40);

  test("the fake dies as the real one does: of a point of the last minutes, for good", async () => {
    const { server } = await start({ walFilesMax: 2 });
    const write = (line: string, timeoutMs = 10_000) =>
      fetch(`${server.url}/api/v3/write_lp?db=d&precision=nanosecond`, {
        method: "POST",
        body: line,
        signal: AbortSignal.timeout(timeoutMs),
      });
    expect((await write(`m,t=a f=1 ${endMs}000000`)).status).toBe(204);
    for (const time of [1, 2]) expect((await write(`m,t=a f=1 ${time}`)).status).toBe(204);
    expect((await write("m,t=a f=1 3")).status).toBe(500);
    await expect(write("m,t=a f=1 4", 100)).rejects.toThrow();
    expect((await fetch(`${server.url}/ping`)).status).toBe(200);
    server.restart();
    expect((await write("m,t=a f=1 5")).status).toBe(500);
    expect(server.walDead).toBe(true);
  });

  test("no message of a device kills it, whatever INFLUX_TIME_DISTANCE_MAX_DAYS says", async () => {
    const { server } = await start({ walFilesMax: 0 });
    const influx = openInflux({ url: server.url, timeDistanceMaxDays: 0 });
    ends.push(() => influx.dispose());
    const at = { eventMs: endMs - 1, eventNs: 999_999 };
    const last = [1, 2].map((seq) => event(seq, { ...at, payload: `{"metrics":{"v":${seq}}}` }));
    const beyond = [0, 1, 436_853].map((ms) => event(10 + ms, { eventMs: endMs + ms, eventNs: 0 }));
    // The second of the two at the last good nanosecond would be moved by one.
    expect(await influx.deliver([...last, ...beyond, event(5)])).toEqual({
      delivered: 2,
      ignored: 0,
      refused: 4,
    });
    for (let seq = 20; seq < 25; seq += 1) await influx.deliver([event(seq)]);
    expect(server.walDead).toBe(false);
  });
});

describe("how far a time lies from its arrival", () => {
  const dayMs = 86_400_000;
  const received = 1_789_000_000_000;

  test("scattered years of one device open no shard, and name the setting", async () => {
    const { server, influx } = await start();
    const wild = Array.from({ length: 290 }, (_, i) =>
      event(i + 1, { receivedMs: received, eventMs: Date.UTC(1970 + i, 0, 1) }),
    );
    const { delivered, refused } = await influx.deliver([...wild, event(1_000)]);
    expect([delivered, refused]).toEqual([3, 288]);
    expect(influx.refused.get(1)).toContain("INFLUX_TIME_DISTANCE_MAX_DAYS");
    expect(server.stored()).toBe(3);
  });

  test("refuses no reading while the host's clock is not set", async () => {
    const clock = { ...simulatedClock(received), isTimeKnown: () => false };
    const influx = openInflux({ url: (await start()).server.url }, clock);
    const { delivered, refused } = await influx.deliver([
      event(1, { receivedMs: received, eventMs: received + 500 * dayMs }),
    ]);
    expect([delivered, refused]).toEqual([1, 0]);
    await influx.dispose();
  });

  test.each([
    ["just within, past", -366 * dayMs, 0],
    ["just beyond, past", -366 * dayMs - 1, 1],
    ["just within, ahead", 366 * dayMs, 0],
    ["just beyond, ahead", 366 * dayMs + 1, 1],
  ])("%s", async (_, ms, refused) => {
    const clock = simulatedClock(received + dayMs / 2);
    const influx = openInflux(
      { url: "http://influx.invalid" },
      clock,
      async () => new Response(null, { status: 204, headers: { "x-influxdb-version": "3.10.1" } }),
    );
    ends.push(() => influx.dispose());
    const arrived = ms < 0 ? received : received + dayMs / 2;
    expect(await influx.deliver([event(1, { receivedMs: arrived, eventMs: arrived + ms })])).toMatchObject({
      refused,
    });
  });

  test("refuses no reading if the host's clock was wrong when the message came", async () => {
    const { influx } = await start();
    expect(await influx.deliver([event(1, { receivedMs: 5_000, eventMs: Date.now() })])).toMatchObject({
      delivered: 1,
    });
  });
});
