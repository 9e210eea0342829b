/** A batch of Kafka is handed to the intake in its turns, so that look-ups, drains and HTTP have theirs meanwhile. */
import { type AddressInfo, createServer } from "node:net";
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../../src/core/clock.ts";
import { turnMs } from "../../../src/intake/turn.ts";
import { KafkaMessage } from "../../../src/source/kafka/message.ts";
import { inTime, readAsGroup } from "../../../src/source/kafka/group.ts";
import { Partition } from "../../../src/source/kafka/partition.ts";
import { hand, readAll, type ReaderParts } from "../../../src/source/kafka/reader.ts";
import { createFetchPace } from "../../../src/kafka/paced.ts";
import type { Wire } from "../../../src/kafka/requests.ts";
import { openKafkaSource } from "../../../src/source/kafka/source.ts";
import { kafkaSettingsOf } from "../../kit/kafka/source.ts";
import { simulatedClock } from "../../kit/clock.ts";
import { aRegistry, intake, numberOf } from "../../kit/intake.ts";
import { freePort } from "../../kit/port.ts";
import { fakeIntake, recordingLog, until } from "../../kit/source.ts";
import { spoolKit } from "../../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const messagesMax = 120;

/** Hands a batch over to an intake that takes a millisecond per message. */
function handed() {
  const part = intake(kit, aRegistry(["a"]));
  part.state.acceptMs = 1;
  part.cached.add("a");
  const topic = { name: "events", id: "", leaders: [0], may: () => undefined };
  const partition = new Partition(topic, 0, 0);
  const messages = Array.from({ length: messagesMax }, (_, n) => {
    const payload = Buffer.from(JSON.stringify({ n }));
    return new KafkaMessage(
      partition,
      { offset: n, timeMs: 0, epoch: -1 },
      { topic: "tenant/acme/device/a/telemetry", payload, isJudged: false },
      0,
    );
  });
  const stopping = new AbortController();
  const done = hand(messages, { intake: part.port, signal: stopping.signal });
  /** What others see, once per turn, until nothing more comes. */
  const seen = async () => {
    const counts: number[] = [];
    for (let last = -1; part.books.totals().accepted !== last;) {
      last = part.books.totals().accepted;
      counts.push(last);
      expect(part.balanced()).toBe(true);
      part.clock.advance(0);
      await Bun.sleep(0);
    }
    return counts;
  };
  return { ...part, done, seen, stopping, partition };
}

test("the others have their turn after every so many milliseconds, and the order stays", async () => {
  const part = handed();
  const seen = await part.seen();
  expect(seen.at(-1)).toBe(messagesMax);
  // And the one message that was put off.
  const longest = Math.max(...seen.map((count, i) => count - (seen[i - 1] ?? 0)));
  expect(longest).toBeLessThanOrEqual(turnMs + 1);
  expect(await part.done).toBe(true);
  part.clock.advance(1_000);
  expect(part.durable.map(({ payload }) => numberOf(payload))).toEqual([...Array(messagesMax).keys()]);
  expect(part.partition.next).toBe(messagesMax);
});

test("what a broker answers of the others is taken before the error of one partition ends the connection", async () => {
  const topic = { name: "events", id: "", leaders: [0, 0], may: () => undefined };
  const partitions = [new Partition(topic, 0, 0), new Partition(topic, 1, 0)];
  const notLeader = 6;
  const answer = {
    topic: "events",
    logStart: 0,
    end: 7,
    stableOffset: 7,
    aborted: [],
    records: Buffer.alloc(0),
  };
  const fetch: Wire["fetch"] = () =>
    Promise.resolve([
      { ...answer, partition: 0, errorCode: notLeader },
      { ...answer, partition: 1, errorCode: 0 },
    ]);
  const reading = readAll({
    wire: { fetch } as Wire,
    partitions,
    intake: fakeIntake(),
    clock: systemClock,
    log: recordingLog().log,
    waitMs: 10,
    pace: createFetchPace(),
    signal: new AbortController().signal,
    say: () => undefined,
    answered() {},
    lost() {},
  } satisfies ReaderParts);
  await expect(reading).rejects.toThrow("partition 0 of events cannot be read");
  expect(partitions[1]?.lag).toBe(7);
});

/** What a loop is given that is to end before it asks for anything. */
function endedParts(): ReaderParts {
  const topic = { name: "events", id: "", leaders: [0], may: () => undefined };
  return {
    wire: { fetch: () => Promise.reject(new Error("it was asked")) } as unknown as Wire,
    partitions: [new Partition(topic, 0, 0)],
    intake: fakeIntake(),
    clock: systemClock,
    log: recordingLog().log,
    waitMs: 10,
    pace: createFetchPace(),
    signal: AbortSignal.abort(),
    say: () => undefined,
    answered() {},
    lost() {},
  };
}

test("if the gateway stops while the connection is made, nothing is read by it, and the stop has an end", async () => {
  expect(await readAll(endedParts())).toBeUndefined();
});

test("if it stops before it asks to be taken into the group, it does not ask", async () => {
  const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${await freePort()}` });
  const { partitions: _, ...ended } = endedParts();
  const membership = { ...ended, settings, groupId: "g", gatewayId: "g", topics: ["events"], reads() {} };
  expect(await readAsGroup({ ...membership, ...nothingDealt })).toBeUndefined();
});

test("a group is silent after a minute of looks, and not because the whole process stood still for longer", async () => {
  const mute = createServer(() => {}).listen(0, "127.0.0.1");
  const { port } = mute.address() as AddressInfo;
  const settings = kafkaSettingsOf({ KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${port}` });
  let nowMs = 0;
  const looks: (() => void)[] = [];
  const clock = {
    ...systemClock,
    monoMs: () => nowMs,
    // What it waits for in leaving.
    after: (_ms: number, run: () => void) => systemClock.after(0, run),
    every(_ms: number, run: () => void) {
      looks.push(run);
      return { cancel() {} };
    },
  };
  const { partitions: _, ...parts } = endedParts();
  const { signal } = new AbortController();
  const membership = { ...parts, ...nothingDealt, signal, clock, settings, reads() {} };
  let why = "";
  const ended = readAsGroup({ ...membership, groupId: "g", gatewayId: "one", topics: ["events"] }).catch(
    (error: unknown) => (why = String(error)),
  );
  const look = () => looks[0]?.();
  nowMs += 70_000;
  look();
  await Bun.sleep(100);
  expect(why).toBe("");
  for (let n = 0; n < 12; n++) look();
  mute.close();
  await ended;
  expect(why).toContain("the group g is silent: does another gateway have the GATEWAY_ID one?");
});

const nothingDealt = {
  partitionOf: () => {
    throw new Error("nothing is dealt");
  },
  comesAgain: () => Promise.resolve(),
  forget() {},
  isPutOff: () => false,
  epochAt: () => -1,
  read() {},
  outOfRange: () => Promise.resolve(),
};

test("if the gateway stops meanwhile, nothing more of it is handed over", async () => {
  const part = handed();
  part.stopping.abort();
  expect(await part.seen()).toEqual([turnMs]);
  expect(await part.done).toBe(false);
  expect(part.partition.next).toBe(turnMs);
});

function fullIntake() {
  const full = fakeIntake();
  full.full = true;
  const topic = { name: "events", id: "", leaders: [0], may: () => undefined };
  const said = { topic: "tenant/acme/device/a/telemetry", payload: Buffer.from("{}"), isJudged: false };
  return {
    intake: full,
    messages: [new KafkaMessage(new Partition(topic, 0, 0), { offset: 0, timeMs: 0, epoch: -1 }, said, 0)],
  };
}

/** A signal that lives as long as a membership, and who listens to it. */
function watched() {
  const stop = new AbortController();
  const listeners = new Set<unknown>();
  const { signal } = stop;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (type: string, listener: EventListener) => {
    listeners.add(listener);
    add(type, listener);
  };
  signal.removeEventListener = (type: string, listener: EventListener) => {
    listeners.delete(listener);
    remove(type, listener);
  };
  return { stop, signal, listeners };
}

test("who waited for room or for the disk listens no more to what ends the membership", async () => {
  const { signal, listeners } = watched();
  const clock = simulatedClock();
  const { intake: full, messages } = fullIntake();
  for (let n = 0; n < 3; n++) {
    const handing = hand(messages, { intake: full, signal });
    expect(listeners.size).toBe(1);
    full.drain();
    expect(await handing).toBe(true);
    expect(await inTime(Promise.resolve(n), { signal, clock })).toBe(n);
    await Bun.sleep(0);
    expect(listeners.size).toBe(0);
    full.full = true;
  }
});

test("what is not on the disk some time after the end is given up", async () => {
  const { stop, signal } = watched();
  const clock = simulatedClock();
  let why = "";
  void inTime(new Promise(() => {}), { signal, clock }).catch((error: unknown) => (why = String(error)));
  stop.abort();
  clock.advance(1_999);
  await Bun.sleep(0);
  expect(why).toBe("");
  clock.advance(1);
  await Bun.sleep(0);
  expect(why).toContain("the gateway stops");
});

test("what keeps a broker away in turns is logged once each", async () => {
  let connections = 0;
  const server = createServer((socket) => {
    if (connections++ % 2 === 0) socket.destroy();
    else socket.end(Buffer.from([0, 0, 0, 2, 0, 0]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { log, lines } = recordingLog();
  const clock = {
    ...systemClock,
    after: (ms: number, run: () => void) => systemClock.after(Math.min(ms, 5), run),
  };
  const settings = kafkaSettingsOf({
    KAFKA_BOOTSTRAP_SERVERS: `127.0.0.1:${port}`,
    KAFKA_SOURCE_TOPIC: "events",
  });
  const source = openKafkaSource({ settings, gatewayId: "g", clock, log, marks: new Map() });
  void source.start(fakeIntake());
  await until("twenty tries", () => connections > 20);
  await source.close();
  server.close();
  expect(lines).toHaveLength(2);
});
