/**
 * What the Redis sink costs beside a client that does nothing but send: the very arguments of the sink's calls, made beforehand.
 * And the same as plain pipelined commands, of which the last to write wins: what one would do without a script.
 *
 * Only `deliver` is timed, on one real server; the server's own CPU is not counted.
 */
import type { Event } from "../../src/core/entry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { openRedis } from "../../src/redis/redis-client.ts";
import { argumentOf } from "../../src/sink/redis/arguments.ts";
import { coalesce } from "../../src/core/latest.ts";
import { devicesPerCallMax, mergeScript } from "../../src/sink/redis/scripts.ts";
import { delivery, event } from "../contract/entries.ts";
import { startRedis } from "../kit/redis.ts";
import { startRedisSink, redisValues } from "../kit/redissink.ts";
import { readingText } from "./reading.ts";

const metricsPerMessage = 5;

/** `rounds messages devices` */
export async function run([
  rounds = "40",
  messages = "5000",
  devices = "1000",
]: readonly string[]): Promise<void> {
  const server = await startRedis();
  const sizes = { rounds: Number(rounds), messages: Number(messages), devices: Number(devices) };
  console.log(
    `${messages} messages of ${devices} devices a batch, ${metricsPerMessage} metrics each; ${rounds} batches\n`,
  );
  const client = openRedis({
    settings: redisValues({ url: server.url }),
    clock: systemClock,
    timeoutMs: 30_000,
  });
  const sink = startRedisSink({ url: server.url });
  const work = {
    "the calls alone (bare client)": (entries: Event[]) => {
      const calls = callsOf(entries);
      return () =>
        client.pipeline(
          calls.map((text) => [
            "EVALSHA",
            mergeScript.sha,
            "3",
            "bare:seen",
            "bare:devices",
            "bare:mark",
            "bare:",
            "86400000",
            "2000",
            String(Date.now()),
            text,
          ]),
        );
    },
    "plain commands (the last wins)": (entries: Event[]) => {
      const commands = plainOf(entries);
      return () => client.pipeline(commands);
    },
    "sluice's sink": (entries: Event[]) => {
      const batch = delivery(entries);
      return () => sink.deliver(batch);
    },
  };
  await server.send("SCRIPT", "LOAD", mergeScript.text);
  for (const [what, ready] of Object.entries(work)) await timed(what, ready, sizes);
  await sink.close();
  client.close();
  await server.stop();
}

interface Sizes {
  readonly rounds: number;
  readonly messages: number;
  readonly devices: number;
}

async function timed(
  what: string,
  ready: (entries: Event[]) => () => Promise<unknown>,
  { rounds, messages, devices }: Sizes,
): Promise<void> {
  let [ms, micros] = [0, 0];
  for (let round = 0; round < rounds; round++) {
    const go = ready(batchOf(round * messages + 1, messages, devices));
    Bun.gc(true);
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    await go();
    const used = process.cpuUsage(cpu);
    // The first few warm up.
    if (round < rounds / 10) continue;
    ms += performance.now() - began;
    micros += used.user + used.system;
  }
  const counted = rounds - Math.ceil(rounds / 10);
  const rate = Math.round((counted * messages * 1000) / ms).toLocaleString("en");
  const perMessage = (micros / (counted * messages)).toFixed(2);
  const perDevice = (micros / (counted * devices)).toFixed(2);
  console.log(
    `${what.padEnd(32)} ${rate.padStart(10)} msg/s  ${perMessage} µs CPU a message  ${perDevice} a device`,
  );
}

const names = (tenantId: string, deviceId: string) => `${tenantId}/${deviceId}`;

function callsOf(entries: Event[]): string[] {
  const texts = Array.from(coalesce(entries, names), (device) => argumentOf(device, "bench"));
  return Array.from(
    { length: Math.ceil(texts.length / devicesPerCallMax) },
    (_, i) => `[${texts.slice(i * devicesPerCallMax, (i + 1) * devicesPerCallMax).join(",")}]`,
  );
}

function plainOf(entries: Event[]): [string, ...string[]][] {
  return [...coalesce(entries, names)].flatMap(
    ({ name, newest, receivedMs, values }): [string, ...string[]][] => {
      const key = `plain:device:${name}`;
      const { tenantId, siteId, msgType, eventMs, seq } = newest;
      const fields = {
        tenantId,
        siteId,
        msgType,
        eventMs,
        seq,
        last_updated: new Date(receivedMs).toISOString(),
      };
      return [
        ["HSET", `${key}:metadata`, ...Object.entries(fields).flat().map(String)],
        [
          "HSET",
          `${key}:values`,
          ...[...values].flatMap(([metric, { value }]) => [metric, JSON.stringify(value)]),
        ],
        ["PEXPIREAT", `${key}:metadata`, String(receivedMs + 86_400_000)],
        ["ZADD", "plain:devices:seen", String(receivedMs), name],
      ];
    },
  );
}

function batchOf(first: number, messages: number, devices: number): Event[] {
  const receivedMs = Date.now();
  return Array.from({ length: messages }, (_, i) => {
    const seq = first + i;
    const payload = readingText(seq);
    const deviceId = JSON.parse(`"sensor-${seq % devices}"`) as string;
    return event(seq, { deviceId, payload, receivedMs, eventMs: receivedMs - 5_000 + i }) as Event;
  });
}
