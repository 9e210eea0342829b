/**
 * The neighbours: honest devices that publish, one that reconnects again and again, and a client that reads /healthz.
 */
import { explain } from "../../src/core/log/log.ts";
import { openConnection } from "../../src/simulator/connection.ts";
import { systemClock } from "../../src/core/clock.ts";
import type { GatewayProcess } from "../kit/gateway.ts";
import type { Site } from "../fault/site.ts";

/** Milliseconds. What did not come counts as `never`. */
export interface Times {
  readonly pubackP99Ms: number;
  readonly healthMs: number;
  readonly connectMs: number;
}

export interface Noticed {
  readonly calm: Times;
  readonly during: Times;
  /** Most memory that the gateway used. */
  readonly peakBytes: number;
}

interface Honest {
  readonly site: Site;
  readonly gateway: GatewayProcess;
  /** They prove themselves at CONNECT. */
  readonly auth: boolean;
}

const rate = 40;
const askEveryMs = 100;
const connectEveryMs = 400;
const neverMs = 60_000;

/** Watches them while `work` is done. @throws what `work` throws */
export async function watchNeighbours(honest: Honest, work: () => Promise<void>): Promise<Times> {
  const ending = new AbortController();
  const { signal } = ending;
  const published = publish(honest, signal);
  const asked = longest("/healthz", signal, askEveryMs, () => ask(honest.gateway));
  const connected = longest("CONNECT", signal, connectEveryMs, () => connect(honest));
  // They must be connected before the attacker.
  await Bun.sleep(300);
  try {
    await work();
  } finally {
    ending.abort();
  }
  return { pubackP99Ms: await published, healthMs: await asked, connectMs: await connected };
}

async function publish({ site, auth }: Honest, signal: AbortSignal): Promise<number> {
  try {
    const logins = auth ? site.logins() : undefined;
    const { latency, unanswered } = await site.publish({
      rate,
      signal,
      ...(logins && { logins, connections: logins.length }),
    });
    return unanswered > 0 ? neverMs : (latency.p99Ms ?? neverMs);
  } catch {
    return neverMs;
  }
}

/** The longest time of repeated calls of `once`; an error is reported once. */
async function longest(
  what: string,
  signal: AbortSignal,
  everyMs: number,
  once: () => Promise<void>,
): Promise<number> {
  const said = new Set<string>();
  let maxMs = 0;
  while (!signal.aborted) {
    const fromMs = performance.now();
    let ms = neverMs;
    try {
      await once();
      ms = performance.now() - fromMs;
    } catch (error) {
      const text = explain(error);
      if (!said.has(text)) console.error(`${what}: ${text}`);
      said.add(text);
    }
    maxMs = Math.max(maxMs, ms);
    await Bun.sleep(everyMs);
  }
  return maxMs;
}

async function ask({ url }: GatewayProcess): Promise<void> {
  const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(10_000), keepalive: false });
  if (!answer.ok) throw new Error(`/healthz says ${answer.status}`);
}

let connections = 0;

async function connect({ site, auth }: Honest): Promise<void> {
  const login = auth ? site.logins().at(-1) : undefined;
  const connection = await openConnection({
    brokerUrl: site.brokerUrl,
    protocolVersion: 4,
    clientId: `newcomer-${++connections}`,
    clock: systemClock,
    ...(login && { login }),
  });
  await connection.close();
}
