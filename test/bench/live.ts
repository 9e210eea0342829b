/**
 * Messages as they come: what one waits for its PUBACK and until its row can be read, and what it costs, at several rates.
 *
 * The load generator is the broker itself, so that the PUBACK is the subject's own. A message's clock starts when it is due, not when
 * it is sent: a generator that is held up hides no wait. First comes a flood, which warms the process up; the second tells how many
 * messages per second become durable. Each rate runs twice, for what it alone calls for is compiled in the first run, of which the CPU is
 * told: a gateway runs for weeks.
 */
import { type Figure, figureOf } from "./figures.ts";
import { usage, whenIdle } from "./ingest.ts";
import { createLoad, usualLoad } from "./load.ts";
import { openFeeder, type Sent } from "./publish.ts";
import { type Base, bareReceiver, type Subject } from "./subject.ts";

export interface LiveOptions {
  readonly subjects: readonly Subject[];
  readonly rates: readonly number[];
  readonly seconds: number;
  readonly flood: number;
}

const percentiles = [50, 99, 99.9];
/** So many that none sends faster than RATE_LIMIT_RPS at the highest rate. */
const devices = 5_000;

export async function live(site: Base, options: LiveOptions): Promise<Figure[]> {
  const load = createLoad({ ...usualLoad, devices });
  const figures: Figure[] = [];
  for (const subject of [bareReceiver, ...options.subjects])
    figures.push(...(await measure({ ...site, load }, subject, options)));
  return figures;
}

async function measure(site: Base, subject: Subject, options: LiveOptions): Promise<Figure[]> {
  console.error(`live: ${subject.name}`);
  const feeder = openFeeder();
  const fed = { ...site, broker: { port: feeder.port, pid: () => process.pid } };
  const running = await subject.start(fed);
  const figure = figureOf("live", subject.name);
  const figures: Figure[] = [];
  let from = 0;
  const send = async (count: number, perSecond?: number) => {
    const used = usage(fed, running);
    const sent = await feeder.send(fed.load, from, count, perSecond);
    const { arrival, micros } = await whenIdle(running, from, count, used);
    from += count;
    return { sent, arrival, micros };
  };
  await feeder.heard;
  await send(options.flood);
  const { sent } = await send(options.flood);
  figures.push(figure("flood: answered, msg/s", ratePerSecond(sent)));
  for (const rate of options.rates) {
    const count = rate * options.seconds;
    const { micros: coldMicros } = await send(count, rate);
    const { sent: at, arrival, micros } = await send(count, rate);
    const name = `${rate.toLocaleString("en")}/s`;
    for (const [what, atMs] of Object.entries({ PUBACK: at.answeredMs, visible: arrival.timesMs }))
      for (const percentile of percentiles)
        figures.push(figure(`${name}: ${what} p${percentile}, ms`, waited(atMs, at.dueMs, percentile)));
    figures.push(
      figure(`${name}: cold: gateway CPU, µs/msg`, coldMicros.gateway / count),
      figure(`${name}: gateway CPU, µs/msg`, micros.gateway / count),
      figure(`${name}: postgres CPU, µs/msg`, micros.postgres / count),
    );
  }
  await running.stop();
  feeder.close();
  return figures;
}

function ratePerSecond({ dueMs, answeredMs }: Sent): number {
  return (dueMs.length * 1000) / (answeredMs.reduce((a, b) => Math.max(a, b)) - (dueMs[0] ?? 0));
}

function waited(atMs: Float64Array, dueMs: Float64Array, percentile: number): number {
  const waits = atMs.map((at, i) => (at === 0 ? Infinity : at - (dueMs[i] ?? 0))).sort();
  return waits[Math.ceil((percentile / 100) * waits.length) - 1] ?? Number.NaN;
}
