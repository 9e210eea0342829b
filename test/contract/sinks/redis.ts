/** The Redis sink in the contract suite: a real server behind a proxy that misbehaves on demand. */
import { redisAvailable, startRedis } from "../../kit/redis.ts";
import { startRedisSink } from "../../kit/redissink.ts";
import { startProxy } from "../../kit/proxy.ts";
import type { SinkFixture } from "../fixtures.ts";

export const fixture: SinkFixture = {
  name: "redis",
  unavailable: redisAvailable(),
  latest: true,
  positions: false,
  outages: true,
  // A key of that device belongs to another program.
  poison: { deviceId: "taken" },
  async open(timeoutMs) {
    const server = await startRedis();
    const proxy = await startProxy({ port: server.port });
    await server.send("SET", "device:acme/taken:values", "mine");
    // The entries of the suite are of some day in 2026, which must not have expired.
    const ttlSeconds = 31_536_000;
    const open = () => startRedisSink({ url: `redis://127.0.0.1:${proxy.port}`, timeoutMs, ttlSeconds });
    const sinks = [open()];
    return {
      sink: sinks[0]!,
      async reopen() {
        const sink = open();
        sinks.push(sink);
        return sink;
      },
      async stored() {
        const value = (await server.send("HGET", "device:acme/d1:values", "n")) as string | null;
        return value === null ? [] : [Number(value)];
      },
      far(mode) {
        if (mode === "pass") proxy.cut();
        proxy.mode(mode === "hang" ? "blackhole" : mode);
      },
      async stop() {
        for (const sink of sinks) await sink.close();
        await proxy.stop();
        await server.stop();
      },
    };
  },
};
