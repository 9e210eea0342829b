/** The look-up of latest values in a Redis that is not ours alone. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { openRedisLatest } from "../../src/redis/redis-latest.ts";
import { deliverAll, event } from "../contract/entries.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { redisAvailable, startRedis } from "../kit/redis.ts";
import { redisValues, startRedisSink } from "../kit/redissink.ts";

const ends = endsAfterEach();

test.skipIf(redisAvailable() !== "")(
  "a device whose key is somebody else's keeps nobody from seeing the others",
  async () => {
    const server = await startRedis();
    ends.push(() => server.stop());
    const settings = redisValues({ url: server.url, timeoutMs: 10_000 });
    const sink = startRedisSink(settings);
    ends.push(() => sink.close());
    const receivedMs = Date.now();
    const of = (seq: number) => event(seq, { deviceId: `d${seq}`, receivedMs, eventMs: receivedMs });
    await deliverAll(sink, [of(1), of(2), of(3)]);
    for (const key of ["device:acme/d2:metadata", "device:acme/d3:values"]) {
      await server.send("DEL", key);
      await server.send("SET", key, "mine");
    }
    const view = openRedisLatest(settings, systemClock);
    ends.push(() => view.close());
    const ids = ["d1", "d2", "d3"].map((deviceId) => ({ tenantId: "acme", deviceId }));
    const found = await view.get(ids);
    expect(found.map((device) => device?.values.map(({ metric, json }) => [metric, json]))).toEqual([
      [["n", "1"]],
      undefined,
      [],
    ]);
    await server.send("ACL", "SETUSER", "default", "-hgetall");
    await expect(view.get(ids)).rejects.toThrow("lacks a right");
  },
);
