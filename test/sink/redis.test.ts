/** The Redis sink on a real server: the newest value stays whatever happens, and what was lost comes back. */
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import type { Entry } from "../../src/core/entry.ts";
import { explain, type Log, silentLog } from "../../src/core/log/log.ts";
import { Outage } from "../../src/core/outage.ts";
import type { Sink } from "../../src/core/sink.ts";
import { markScript, metricsPerDeviceMax } from "../../src/sink/redis/scripts.ts";
import { seededRandom } from "../../src/simulator/random.ts";
import { deliverAll, event } from "../contract/entries.ts";
import { redisAvailable, startRedis, type RedisServer } from "../kit/redis.ts";
import { startProxy } from "../kit/proxy.ts";
import { startRedisSink } from "../kit/redissink.ts";
import { until } from "../kit/until.ts";

setDefaultTimeout(60_000);

const why = redisAvailable();
const nowMs = Date.now();
/** A clock whose regular work runs only when the test says so, a minute later. */
function handClock(): Clock & { tick(): void } {
  const works: (() => void)[] = [];
  let laterMs = 0;
  return {
    ...systemClock,
    monoMs: () => systemClock.monoMs() + laterMs,
    every(_, work) {
      works.push(work);
      return { cancel() {} };
    },
    tick() {
      laterMs += 60_000;
      for (const work of works) work();
    },
  };
}

function reading(seq: number, metrics: Record<string, unknown>, more: Partial<Entry> = {}): Entry {
  const payload = JSON.stringify({ site_id: "lab-1", seq, metrics });
  return event(seq, { receivedMs: nowMs, eventMs: nowMs - 10_000 + seq, eventNs: 0, payload, ...more });
}

describe.skipIf(why !== "")(`the Redis sink${why === "" ? "" : ` (skipped: ${why})`}`, () => {
  let server: RedisServer;
  const sinks: Sink[] = [];
  const open = (...[changed, given]: Partial<Parameters<typeof startRedisSink>>) => {
    const sink = startRedisSink({ url: server.url, timeoutMs: 20_000, ...changed }, given);
    sinks.push(sink);
    return sink;
  };
  const hash = async (key: string) => ({
    ...((await server.send("HGETALL", key)) as Record<string, string>),
  });
  beforeAll(async () => {
    server = await startRedis();
  });
  beforeEach(() => server.send("FLUSHALL"));
  afterEach(async () => {
    for (const sink of sinks.splice(0)) await sink.close();
  });
  afterAll(() => server.stop());

  test("the check uses each right that a delivery or an expiry needs, and leaves no device behind", async () => {
    const acl = (...words: string[]) => server.send("ACL", "SETUSER", "checked", "on", ">pw", "~*", ...words);
    const probe = () => open({ username: "checked", password: "pw" }).probe().catch(explain);
    await acl("+@all");
    expect(await probe()).toStartWith("Redis at ");
    expect(await server.send("KEYS", "*device*")).toEqual([]);
    const needed = "eval evalsha get hset hmget hlen pexpireat zadd sadd zrangebyscore unlink zrem srem";
    for (const command of needed.split(" ")) {
      await acl("+@all", `-${command}`);
      expect([command, await probe()].join()).toContain("the ACL user lacks a right");
    }
    await acl("resetkeys", "~sluice:*", "~devices*", "+@all");
    expect(await probe()).toContain("the ACL user lacks a right");
  });

  test("writes the keys and fields that existing readers know", async () => {
    const metadata = { datatype_id: "7", datatype_name: "temperature", datatype_unit: "C", persist: true };
    const payload = JSON.stringify({ site_id: "lab-1", seq: 1, metrics: { temp: 1.5 }, metadata });
    await deliverAll(open({ tenant: "acme", prefix: "p:" }), [
      event(1, { payload, receivedMs: nowMs, eventMs: Date.UTC(2026, 10, 21, 1, 2, 3, 4) }),
      reading(2, { x: 1 }, { tenantId: "globex", deviceId: "a:b" }),
    ]);
    expect(await hash("p:device:d1:metadata")).toMatchObject({
      datatype_id: "7",
      datatype_name: "temperature",
      datatype_unit: "C",
      persist: "true",
      last_updated: "2026-11-21T01:02:03.004",
      tenant_id: "acme",
      site_id: "lab-1",
      msg_type: "telemetry",
      seq: "1",
      gateway: "gw",
    });
    expect(await hash("p:device:d1:values")).toEqual({ temp: "1.5" });
    expect(await hash("p:device:globex/a:b:metadata")).toMatchObject({ datatype_id: "", persist: "true" });
    expect(((await server.send("SMEMBERS", "p:devices")) as string[]).sort()).toEqual(["d1", "globex/a:b"]);
    expect(await server.send("ZSCORE", "p:devices:seen", "d1")).toBe(nowMs);
    const ttl = (await server.send("PTTL", "p:device:d1:values")) as number;
    expect(ttl).toBeGreaterThan(86_000_000);
  });

  test("26,000 shuffled, repeated, overlapping deliveries by three gateways leave no wrong value", async () => {
    const random = seededRandom(26);
    const made = Array.from({ length: 2_000 }, (_, i) => {
      const names = ["a", "b", "c", "d"].filter(() => random.whole(0, 1) === 1);
      const metrics = Object.fromEntries(names.map((name) => [name, i]));
      // Few times, so that seq has to decide; some in the future, which count as their arrival.
      const eventMs = nowMs - 1_000 + random.whole(0, 300) * (random.whole(0, 9) === 0 ? 1_000_000 : 1);
      const eventNs = random.whole(0, 2);
      return reading(i + 1, metrics, { deviceId: `d${i % 200}`, eventMs, eventNs, receivedMs: nowMs + i });
    });
    const gateways = ["x", "y", "z"].map((gatewayId) => open({}, { gatewayId }));
    const deliveries = Array.from({ length: 26_000 }, (_, i) => made[i % made.length]!);
    for (let i = deliveries.length - 1; i > 0; i--) {
      const j = random.whole(0, i);
      [deliveries[i], deliveries[j]] = [deliveries[j]!, deliveries[i]!];
    }
    const batches: Entry[][] = [];
    for (let at = 0; at < deliveries.length;) {
      const size = random.whole(1, 700);
      batches.push(deliveries.slice(at, (at += size)));
    }
    await Promise.all(batches.map((batch, i) => deliverAll(gateways[i % 3]!, batch)));

    const order = (e: Entry) => {
      const ahead = e.eventMs! > e.receivedMs;
      const parts = ahead ? [e.receivedMs, 0, e.seq] : [e.eventMs!, e.eventNs, e.seq];
      return parts.map((n) => String(n).padStart(16, "0")).join();
    };
    const wanted = new Map<string, Record<string, string>>();
    const newest = new Map<string, number>();
    for (const entry of [...made].sort((a, b) => (order(a) < order(b) ? -1 : 1))) {
      const values = wanted.get(entry.deviceId!) ?? {};
      for (const [name, n] of Object.entries(JSON.parse(entry.payload).metrics)) values[name] = String(n);
      wanted.set(entry.deviceId!, values);
      newest.set(entry.deviceId!, entry.seq);
    }
    const wrong: string[] = [];
    for (const [device, values] of wanted) {
      const found = await hash(`device:acme/${device}:values`);
      if (!Bun.deepEquals(found, values)) wrong.push(`${device}: ${JSON.stringify({ found, values })}`);
    }
    for (const [device, seq] of newest) {
      const found = (await hash(`device:acme/${device}:metadata`))["seq"];
      if (found !== String(seq)) wrong.push(`${device}: of ${found}, not of ${seq}`);
    }
    expect(wrong).toEqual([]);
    expect(wanted.size).toBe(200);
  });

  test("merges per metric, even across batches, and a heartbeat removes no value", async () => {
    const sink = open();
    await deliverAll(sink, [reading(1, { a: 1, b: 1 })]);
    await deliverAll(sink, [
      reading(3, { b: 3 }),
      event(4, { receivedMs: nowMs, msgType: "heartbeat", payload: "{}" }),
    ]);
    await deliverAll(sink, [reading(2, { a: 2, b: 2, c: 2 })]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "2", b: "3", c: "2" });
  });

  test("a device clock in the future freezes nothing", async () => {
    const sink = open();
    await deliverAll(sink, [reading(1, { a: 1 }, { eventMs: nowMs + 365 * 86_400_000 })]);
    await deliverAll(sink, [reading(2, { a: 2 }, { receivedMs: nowMs + 1, eventMs: nowMs + 1 })]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "2" });
    expect((await hash("device:acme/d1:metadata"))["event_ms"]).toBe(String(nowMs + 1));
  });

  test("what came while this host's clock was ahead freezes nothing once that is right", async () => {
    let aheadMs = 8 * 3_600_000;
    const sink = open({}, { clock: { ...systemClock, wallMs: () => Date.now() + aheadMs } });
    const atMs = (ms: number) => ({ receivedMs: ms, eventMs: ms });
    const ahead = reading(1, { a: 1, b: 1 }, atMs(nowMs + aheadMs));
    await deliverAll(sink, [ahead]);
    aheadMs = 0;
    expect(await hash("device:acme/d1:values")).toEqual({ a: "1", b: "1" });
    await deliverAll(sink, [reading(2, { a: 2 }, atMs(nowMs))]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "2", b: "1" });
    expect(await hash("device:acme/d1:metadata")).toMatchObject({ seq: "2", received_ms: String(nowMs) });
    expect(Number(await server.send("ZSCORE", "devices:seen", "acme/d1"))).toBe(nowMs);
    expect(Number(await server.send("PTTL", "device:acme/d1:metadata"))).toBeLessThanOrEqual(86_400_000);
    // An older one is older still, and so is that one if it comes again.
    await deliverAll(sink, [reading(1, { a: 0 }, atMs(nowMs - 1_000))]);
    await deliverAll(sink, [ahead]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "2", b: "1" });
  });

  test("keeps a number's digits and any JSON scalar", async () => {
    const payload = '{"metrics":{"big":1152921504606846977,"t":true,"n":null,"s":"ü\\"\\u0000","f":1e400}}';
    await deliverAll(open(), [event(1, { payload, receivedMs: nowMs, eventMs: nowMs })]);
    expect(await hash("device:acme/d1:values")).toEqual({
      big: "1152921504606846977",
      t: "true",
      n: "null",
      s: '"ü\\"\\u0000"',
      f: "1e400",
    });
  });

  test("a device that invents names is bounded, and its known metrics go on", async () => {
    const sink = open();
    const many = (from: number, n: number) =>
      Object.fromEntries(Array.from({ length: n }, (_, i) => [`m${from + i}`, from]));
    await deliverAll(sink, [reading(1, many(0, 1_500))]);
    await deliverAll(sink, [reading(2, { ...many(1_000, 1_500), m0: 2 })]);
    expect(await server.send("HLEN", "device:acme/d1:values")).toBe(metricsPerDeviceMax);
    expect((await hash("device:acme/d1:values"))["m0"]).toBe("2");
    expect(sink.stats?.()).toMatchObject({ metrics_left_out: 500 });
  });

  test("an expired device leaves the indexes, and a late replay does not make it look alive", async () => {
    const clock = handClock();
    // As with a longer REDIS_METADATA_TTL in former days.
    await deliverAll(open(), [reading(1, { a: 1 }, { deviceId: "former" })]);
    const ttlSeconds = 3;
    const sink = open({ ttlSeconds }, { clock });
    const receivedMs = Date.now();
    await deliverAll(sink, [
      reading(1, { a: 1 }, { receivedMs }),
      reading(2, { a: 1 }, { deviceId: "d2", receivedMs }),
    ]);
    await until(async () => (await server.send("EXISTS", "device:acme/d1:values")) === 0);
    const late = Date.now();
    await deliverAll(sink, [
      reading(3, { a: 1 }, { receivedMs }),
      reading(4, { a: 4 }, { deviceId: "d3", receivedMs: late }),
    ]);
    clock.tick();
    await until(async () => (await server.send("ZCARD", "devices:seen")) === 1);
    expect(await server.send("SMEMBERS", "devices")).toEqual(["acme/d3"]);
    expect(await server.send("EXISTS", "device:acme/d1:values")).toBe(0);
    expect(await server.send("EXISTS", "device:acme/former:values")).toBe(0);
  });

  test("a device that is heard stays if Redis' clock is ahead by more than REDIS_METADATA_TTL, and one that is silent goes", async () => {
    let behindMs = 3_600_000;
    const behind = { ...handClock(), wallMs: () => Date.now() - behindMs };
    const sink = open({ ttlSeconds: 60 }, { clock: behind });
    await deliverAll(sink, [reading(1, { a: 1 }, { receivedMs: behind.wallMs() })]);
    behind.tick();
    await deliverAll(sink, [reading(2, { a: 2 }, { deviceId: "d2", receivedMs: behind.wallMs() })]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "1" });
    expect(await server.send("ZCARD", "devices:seen")).toBe(2);
    expect(Number(await server.send("PTTL", "device:acme/d1:values"))).toBeLessThanOrEqual(60_000);
    behindMs -= 61_000;
    behind.tick();
    await until(async () => (await server.send("ZCARD", "devices:seen")) === 0);
  });

  test("the script cache emptied is loaded again", async () => {
    const sink = open();
    await deliverAll(sink, [reading(1, { a: 1 })]);
    await server.send("SCRIPT", "FLUSH");
    await deliverAll(sink, [reading(2, { a: 2 })]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "2" });
  });

  describe("keys of another program", () => {
    for (const part of ["metadata", "values", "times"]) {
      test(`a device whose ${part} are another type is its dead letter, the others go on`, async () => {
        await server.send("SET", `device:acme/d1:${part}`, "mine");
        const { outcome, refused } = await deliverAll(open(), [
          reading(1, { a: 1 }),
          reading(2, { a: 2 }, { deviceId: "d2" }),
          reading(3, { a: 3 }),
        ]);
        expect(outcome).toEqual({ delivered: 1, ignored: 0, refused: 2 });
        expect([...refused.keys()].sort()).toEqual([1, 3]);
        expect(refused.get(1)).toContain("WRONGTYPE");
        expect(await hash("device:acme/d2:values")).toEqual({ a: "2" });
        expect(await server.send("GET", `device:acme/d1:${part}`)).toBe("mine");
        expect(await server.send("SMEMBERS", "devices")).toEqual(["acme/d2"]);
      });
    }

    test.each(["devices", "devices:seen"])(
      "an index of another type, %s, is an outage, not anybody's dead letter, and whole once it is gone",
      async (index) => {
        await server.send("SET", index, "mine");
        const sink = open();
        const failed = await deliverAll(sink, [reading(1, { a: 1 })]).catch((error: unknown) => error);
        expect(failed).toBeInstanceOf(Outage);
        expect(explain(failed)).toContain("WRONGTYPE");
        await server.send("DEL", index);
        await deliverAll(sink, [reading(1, { a: 1 })]);
        expect(await server.send("SMEMBERS", "devices")).toEqual(["acme/d1"]);
        expect(await server.send("ZRANGE", "devices:seen", "0", "-1")).toEqual(["acme/d1"]);
      },
    );
  });

  describe("a Redis that lost its memory", () => {
    const stored = [reading(0, { old: 1 }, { deviceId: "quiet" }), reading(0, { a: 0, old: 0 })];
    const held = [reading(5, { waiting: 5 }, { deviceId: "spooled" })];

    test("is filled from the spool and the tables when it is new", async () => {
      const sink = open({}, { stored: () => stored, held });
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1);
      expect(await hash("device:acme/quiet:values")).toEqual({ old: "1" });
      expect(await hash("device:acme/spooled:values")).toEqual({ waiting: "5" });
      expect(await hash("device:acme/d1:values")).toEqual({ a: "6", old: "0" });
    });

    test("is filled again after FLUSHALL, even if nothing is delivered", async () => {
      const clock = handClock();
      const sink = open({}, { stored: () => stored, held, clock });
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1);
      await deliverAll(sink, [reading(7, { a: 7 })]);
      await server.send("FLUSHALL");
      clock.tick();
      await until(() => sink.stats?.()["refills"] === 2);
      expect(await hash("device:acme/quiet:values")).toEqual({ old: "1" });
    });

    test("is filled again after FLUSHALL between a batch and its mark", async () => {
      const proxy = await startProxy({ port: server.port });
      const sink = open({ url: `redis://127.0.0.1:${proxy.port}` }, { stored: () => stored, held });
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1);
      // Its answer, upon which the mark is moved, is still on its way when the batch is there.
      proxy.delay(500);
      const delivered = deliverAll(sink, [reading(7, { a: 7 })]);
      await until(async () => (await hash("device:acme/d1:values"))["a"] === "7");
      await server.send("FLUSHALL");
      await delivered;
      proxy.delay(0);
      await deliverAll(sink, [reading(8, { b: 8 })]);
      await until(() => sink.stats?.()["refills"] === 2);
      expect(await hash("device:acme/quiet:values")).toEqual({ old: "1" });
      await proxy.stop();
    });

    test("is filled once more after FLUSHALL while it is filled", async () => {
      const clock = handClock();
      let fills = 0;
      const sink = open(
        {},
        {
          clock,
          held,
          async stored() {
            if (++fills === 1) await server.send("FLUSHALL");
            return stored;
          },
        },
      );
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refill_running"] === false);
      clock.tick();
      await until(() => sink.stats?.()["refills"] === 1);
      expect(await hash("device:acme/spooled:values")).toEqual({ waiting: "5" });
    });

    test("that loses it again at once, as one that evicts keys, is left alone for some times as long as the filling took", async () => {
      const clock = handClock();
      const long = { ...clock, monoMs: () => clock.monoMs() + fills * 60_000 };
      let fills = 0;
      const warnings: string[] = [];
      const warn = (text: string) => void warnings.push(text);
      const log: Log = Object.assign(Object.create(silentLog), { warn });
      const given = { clock: long, log, held, stored: () => (fills++, stored) };
      const sink = open({}, given);
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1);
      await server.send("DEL", "sluice:gw:mark");
      await deliverAll(sink, [reading(7, { a: 7 })]);
      expect(sink.stats?.()).toMatchObject({ refill_running: false });
      expect(sink.stats?.()["refill_reason"]).toMatch(/maxmemory-policy.*the tables, in \d+ s \(a filling/);
      expect(warnings.at(0)).toEndWith("filling it from the spool and the tables");
      expect(warnings.at(-1)).toMatch(/the tables, in \d+ s \(a filling is followed by a rest\)$/);
      // A minute more than four times the filling, which took a moment longer than its minute.
      for (let minutes = 0; minutes < 5; minutes++) clock.tick();
      await deliverAll(sink, [reading(8, { a: 8 })]);
      await until(() => sink.stats?.()["refills"] === 2);
      expect(fills).toBe(2);
    });

    test("that goes away late in a filling is filled again soon, and not after some times as long as that took", async () => {
      const clock = handClock();
      let fills = 0;
      // A filling takes a minute, and the first breaks off.
      const monoMs = () => clock.monoMs() + fills * 60_000;
      const given = {
        clock: { ...clock, monoMs },
        stored() {
          if (++fills === 1) throw new Outage("Redis went away");
          return stored;
        },
      };
      const sink = open({}, given);
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => fills === 1 && sink.stats?.()["refill_running"] === false);
      clock.tick();
      await until(() => sink.stats?.()["refills"] === 1);
      expect(await hash("device:acme/quiet:values")).toEqual({ old: "1" });
    });

    test("is filled again if it went back to an earlier state", async () => {
      const sink = open({}, { stored: () => stored });
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1);
      await deliverAll(sink, [reading(7, { a: 7 })]);
      await server.send("SET", "sluice:gw:mark", "6");
      await deliverAll(sink, [reading(8, { a: 8 })]);
      await until(() => sink.stats?.()["refills"] === 2);
    });

    test("is not to be filled any more once it has it again, as after a failover to a replica that lags, and back", async () => {
      const clock = handClock();
      let fills = 0;
      // A filling takes a minute, so that none is begun at once.
      const monoMs = () => clock.monoMs() + fills * 60_000;
      const sink = open({}, { clock: { ...clock, monoMs }, stored: () => (fills++, stored) });
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1 && sink.stats()["refill_running"] === false);
      await deliverAll(sink, [reading(7, { a: 7 })]);
      await server.send("SET", "sluice:gw:mark", "6");
      clock.tick();
      await until(() => sink.stats?.()["refill_reason"] !== null);
      expect(sink.stats?.()["refill_reason"]).toContain("lost the newest");
      await server.send("SET", "sluice:gw:mark", "7");
      clock.tick();
      await until(() => sink.stats?.()["refill_reason"] === null);
      expect(sink.stats?.()).toMatchObject({ refills: 1, refill_running: false });
    });

    test("is filled once the old master is back behind a failover, in which a replica that lags took values but was not filled yet", async () => {
      const clock = handClock();
      let fills = 0;
      const now = [...stored, reading(8, { a: 8 }, { deviceId: "moved" })];
      // A filling takes a minute, so that none is begun at once.
      const monoMs = () => clock.monoMs() + fills * 60_000;
      const sink = open({}, { clock: { ...clock, monoMs }, stored: () => (fills++, now) });
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refills"] === 1 && sink.stats()["refill_running"] === false);
      await deliverAll(sink, [reading(7, { a: 7 })]);
      await server.send("SET", "sluice:gw:mark", "6");
      await deliverAll(sink, [reading(8, { a: 8 }, { deviceId: "moved" })]);
      // The old master, which has what came before.
      await server.send("DEL", ...["metadata", "values", "times"].map((part) => `device:acme/moved:${part}`));
      await server.send("SET", "sluice:gw:mark", "7");
      await deliverAll(sink, [reading(9, { a: 9 })]);
      expect(sink.stats?.()["refill_reason"]).toContain("lost the newest");
      for (let minutes = 0; minutes < 5; minutes++) clock.tick();
      await until(() => sink.stats?.()["refills"] === 2);
      expect(await hash("device:acme/moved:values")).toEqual({ a: "8" });
      expect(await server.send("GET", "sluice:gw:mark")).toBe("9");
    });

    test.each([
      ["", ["SCRIPT", "LOAD", markScript.text]],
      [", also at a server that was started anew and has none of our scripts", ["SCRIPT", "FLUSH"]],
    ])(
      "is not filled anew because of a batch that came while its filling ended%s",
      async (_, [command = "", ...args]) => {
        await server.send(command, ...args);
        const proxy = await startProxy({ port: server.port });
        const meanwhile: Promise<unknown>[] = [];
        const bring = (seq: number) => meanwhile.push(deliverAll(sink, [reading(seq, { a: seq })]));
        const given = { held, clock: handClock(), stored: () => (bring(7), stored) };
        const sink = open({ url: `redis://127.0.0.1:${proxy.port}` }, given);
        // The next batch goes behind the mark of the filling, before this is answered.
        proxy.onSend((piece) => {
          const movesMark =
            piece.includes("redis.call('SET',KEYS[1],ARGV[2])") || piece.includes(markScript.sha);
          if (movesMark && meanwhile.length === 1) bring(8);
        });
        await deliverAll(sink, [reading(6, { a: 6 })]);
        await until(() => sink.stats?.()["refills"] === 1);
        await until(() => meanwhile.length === 2);
        await Promise.all(meanwhile);
        expect(await server.send("GET", "sluice:gw:mark")).toBe("8");
        given.clock.tick();
        await deliverAll(sink, [reading(9, { a: 9 })]);
        expect(sink.stats?.()).toMatchObject({ refills: 1, refill_reason: null });
        await proxy.stop();
      },
    );

    test("is not filled after an ordinary restart of the gateway", async () => {
      const first = open({}, { stored: () => stored });
      await deliverAll(first, [reading(6, { a: 6 })]);
      await until(() => first.stats?.()["refills"] === 1);
      await first.close();
      const second = open({}, { stored: () => stored });
      await deliverAll(second, [reading(7, { a: 7 })]);
      expect(second.stats?.()).toMatchObject({ refills: 0, refill_running: false });
    });

    test("is not filled after a restart before anything came behind its first filling", async () => {
      const written = [reading(6, { a: 6 })];
      const first = open({}, { stored: () => stored });
      await deliverAll(first, written);
      await until(() => first.stats?.()["refills"] === 1);
      await first.close();
      const second = open({}, { stored: () => stored, held: written, cursor: 6 });
      await deliverAll(second, [reading(7, { a: 7 })]);
      expect(second.stats?.()).toMatchObject({ refills: 0, refill_running: false });
    });

    test("is filled again after a restart of the gateway if it lost what that wrote last, as in a power cut of both", async () => {
      const written = [
        reading(6, { a: 6 }),
        reading(7, { a: 7 }),
        { ...reading(8, {}), kind: "reject" } as Entry,
      ];
      await server.send("SET", "sluice:gw:mark", "7");
      const first = open({}, { held: written, cursor: 8 });
      await deliverAll(first, [reading(9, { b: 9 })]);
      expect(first.stats?.()).toMatchObject({ refills: 0, refill_running: false });
      await first.close();
      await server.send("SET", "sluice:gw:mark", "6");
      const second = open({}, { stored: () => stored, held: written, cursor: 8 });
      await deliverAll(second, [reading(9, { b: 9 })]);
      await until(() => second.stats?.()["refills"] === 1);
      expect(await hash("device:acme/d1:values")).toEqual({ a: "7", b: "9", old: "0" });
    });

    test("has no mark before all is filled, so that the filling begins anew after a crash", async () => {
      let fails = true;
      const given = {
        clock: handClock(),
        stored: () => {
          if (fails) throw new Error("the tables are away");
          return stored;
        },
      };
      const sink = open({}, given);
      await deliverAll(sink, [reading(6, { a: 6 })]);
      await until(() => sink.stats?.()["refill_running"] === false);
      await deliverAll(sink, [reading(7, { a: 7 })]);
      expect(await server.send("GET", "sluice:gw:mark")).toBe("filling");
      fails = false;
      given.clock.tick();
      await until(() => sink.stats?.()["refills"] === 1);
      expect(await server.send("GET", "sluice:gw:mark")).toBe("7");
    });
  });

  describe("a batch of a whole fleet, in many calls", () => {
    const fleet = Array.from({ length: 2_000 }, (_, i) => reading(i + 1, { a: i }, { deviceId: `n${i}` }));

    test("writes each device once, and a dead letter is of the device that it names", async () => {
      await server.send("SET", "device:acme/n1234:values", "mine");
      const sink = open();
      const { outcome, refused } = await deliverAll(sink, fleet);
      expect(outcome).toEqual({ delivered: 1_999, ignored: 0, refused: 1 });
      expect([...refused.keys()]).toEqual([1_235]);
      expect(sink.stats?.()).toMatchObject({ devices_written: 1_999, devices_unchanged: 1 });
      expect(await server.send("SCARD", "devices")).toBe(1_999);
    });

    test("that is too much for a slow line is written in smaller batches until it gets through", async () => {
      const line = await startProxy({ port: server.port });
      const sink = open({ url: `redis://127.0.0.1:${line.port}`, timeoutMs: 1_000 });
      const most = sink.batchMax;
      line.throttle(60_000);
      let delivered = 0;
      await until(async () => {
        const some = fleet.slice(delivered, delivered + sink.batchMax);
        delivered += (await deliverAll(sink, some)).outcome.delivered;
        return delivered > 0;
      }, 40_000);
      expect(sink.batchMax).toBeLessThan(most);
      line.throttle(Number.POSITIVE_INFINITY);
      while (delivered < fleet.length)
        delivered += (await deliverAll(sink, fleet.slice(delivered, delivered + sink.batchMax))).outcome
          .delivered;
      expect(await server.send("SCARD", "devices")).toBe(fleet.length);
      await line.stop();
    });

    test("once a call fails those behind it are not sent", async () => {
      const sink = open();
      await deliverAll(sink, [reading(1, { a: 1 })]);
      await until(() => sink.stats?.()["refills"] === 1 && sink.stats()["refill_running"] === false);
      await server.send("CONFIG", "SET", "maxmemory", "1");
      await server.send("CONFIG", "RESETSTAT");
      const failed = await deliverAll(sink, fleet).catch((error: unknown) => error);
      await server.send("CONFIG", "SET", "maxmemory", "0");
      expect(failed).toBeInstanceOf(Outage);
      // By the same connection, so that all that was sent before is answered; it is a call as well.
      await sink.probe();
      const stats = String(await server.send("INFO", "commandstats"));
      expect(Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])).toBeLessThanOrEqual(9);
      expect((await deliverAll(sink, fleet)).outcome.delivered).toBe(2_000);
    });
  });

  test("a full memory is an outage that ends by itself", async () => {
    const sink = open();
    await deliverAll(sink, [reading(1, { a: 1 })]);
    await server.send("CONFIG", "SET", "maxmemory", "1");
    const failed = await deliverAll(sink, [reading(2, { a: 2 })]).catch((error: unknown) => error);
    expect(explain(failed)).toContain("raise maxmemory");
    await server.send("CONFIG", "SET", "maxmemory", "0");
    await deliverAll(sink, [reading(2, { a: 2 })]);
    expect(await hash("device:acme/d1:values")).toEqual({ a: "2" });
  });
});
