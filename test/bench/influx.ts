/**
 * How fast lines go into a real InfluxDB 1.x and into an endpoint that throws everything away, what they cost, and what they
 * cost a bare poster, which has the lines as text, joins, compresses and posts them: what any client must do. The floor
 * below it is the request alone, with bodies built and compressed beforehand.
 *
 * Only `deliver` is timed; the entries are made, and their garbage collected, outside of it. The endpoint is a process of its own, so that its CPU is
 * not counted as ours.
 */
import { gunzipSync } from "node:zlib";
import type { Entry } from "../../src/core/entry.ts";
import { event } from "../contract/entries.ts";
import { influxdAvailable, startInfluxd } from "../kit/influxd.ts";
import { hourAway } from "../kit/houraway.ts";
import { openInflux } from "../kit/influxsink.ts";
import { readingText } from "./reading.ts";

const batchLines = [500, 5_000, 10_000];

/** `outage [msg/s]`: an hour without InfluxDB, and how fast the backlog goes out then. Else: how many lines. */
export async function run([count = "200000", perSecond = "1000"]: readonly string[]): Promise<void> {
  if (count === "outage") return outage(Number(perSecond));
  const lines = Number(count);
  const nowhere = await startNowhere();
  const influxd = influxdAvailable() === "" ? await startInfluxd() : null;
  console.log(`${lines} lines of 6 fields\n`);
  for (const size of batchLines) {
    await compare(
      `${size} a batch, null endpoint`,
      nowhere.url,
      { url: nowhere.url, api: "v3" },
      lines,
      size,
    );
    if (influxd === null) continue;
    await influxd.query('CREATE DATABASE "floor"');
    const settings = { url: influxd.url, api: "v1", retention: "forever" } as const;
    await compare(`${size} a batch, influxd`, `${influxd.url}/write?db=floor`, settings, lines, size);
  }
  if (influxd === null) console.log(`no influxd: ${influxdAvailable()}`);
  await influxd?.stop();
  nowhere.stop();
}

async function compare(
  what: string,
  url: string,
  settings: Parameters<typeof openInflux>[0],
  lines: number,
  size: number,
): Promise<void> {
  const compress = (text: string[]) => Bun.gzipSync(text.join("\n"), { level: 1 });
  report(
    `${what}: the request alone`,
    await posted(url, lines, size, (texts) =>
      (
        (body) => () =>
          body
      )(compress(texts)),
    ),
  );
  const bare = await posted(url, lines, size, (texts) => () => compress(texts));
  report(`${what}: bare poster`, bare);
  const cost = await sluice(settings, lines, size);
  report(`${what}: sluice`, cost, ` = ${(cost.cpuMicros / bare.cpuMicros).toFixed(1)} × the bare poster`);
}

async function outage(perSecond: number): Promise<void> {
  const { spooled, other, failures, influx, arrived, drainMs } = await hourAway({ perSecond, tenants: 4 });
  const rate = Math.round((spooled / drainMs) * 1000).toLocaleString("en");
  console.log(
    `an hour without InfluxDB at ${perSecond} msg/s: ${failures} requests failed; the other sink had`,
  );
  console.log(
    `${other.waiting} waiting at its end. Then ${arrived} of ${spooled} arrived, ${influx.refused} refused, ${influx.skipped} skipped,`,
  );
  console.log(`at ${rate} lines/s (entries made as they are read, the requests thrown away)`);
}

interface Cost {
  readonly lines: number;
  ms: number;
  cpuMicros: number;
}

function report(what: string, { lines, ms, cpuMicros }: Cost, more = ""): void {
  const rate = Math.round((lines / ms) * 1000).toLocaleString("en");
  console.log(
    `${what.padEnd(44)} ${rate.padStart(10)} lines/s  ${(cpuMicros / lines).toFixed(2)} µs CPU a line${more}`,
  );
}

/** A gateway runs for months: what the engine spends on compiling our code in the first second is not a line's cost. */
const warmUpLines = 200_000;

/** Times `work` alone for each batch, after a warm-up. */
async function timed(
  lines: number,
  size: number,
  work: (entries: Entry[]) => Promise<() => Promise<unknown>>,
): Promise<Cost> {
  const cost = { lines, ms: 0, cpuMicros: 0 };
  for (let first = 1 - warmUpLines; first <= lines; first += size) {
    const post = await work(batchOf(first, size));
    Bun.gc(true);
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    await post();
    const used = process.cpuUsage(cpu);
    if (first < 1) continue;
    cost.ms += performance.now() - began;
    cost.cpuMicros += used.user + used.system;
  }
  return cost;
}

function sluice(settings: Parameters<typeof openInflux>[0], lines: number, size: number): Promise<Cost> {
  const influx = openInflux(settings);
  return timed(lines, size, async (entries) => () => influx.deliver(entries)).finally(influx.dispose);
}

/** Posts the lines that the sink would send, taken from it beforehand. `ready`: what is made of them before the time runs. */
async function posted(
  url: string,
  lines: number,
  size: number,
  ready: (texts: string[]) => () => Uint8Array<ArrayBuffer>,
): Promise<Cost> {
  let taken: Uint8Array<ArrayBuffer> = new Uint8Array();
  const trap = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      taken = new Uint8Array(await request.arrayBuffer());
      return new Response(null, { status: 204 });
    },
  });
  const influx = openInflux({ url: `http://127.0.0.1:${trap.port}`, api: "v3" });
  const headers = { "content-encoding": "gzip" };
  const cost = await timed(lines, size, async (entries) => {
    await influx.deliver(entries);
    const body = ready(new TextDecoder().decode(gunzipSync(taken)).split("\n"));
    return () => fetch(url, { method: "POST", headers, body: body() }).then((answer) => answer.text());
  });
  await influx.dispose();
  await trap.stop(true);
  return cost;
}

function batchOf(first: number, size: number): Entry[] {
  return Array.from({ length: size }, (_, i) => {
    const seq = first + i;
    const payload = readingText(seq);
    // Whole strings, as they are once the topic was read, the device looked up and the entry spooled.
    return event(seq, { deviceId: JSON.parse(`"sensor-${seq % 1_000}"`) as string, payload });
  });
}

/** An endpoint in another process that answers 204 to everything. */
async function startNowhere(): Promise<{ url: string; stop(): void }> {
  const script = `const server = Bun.serve({ port: 0, hostname: "127.0.0.1", async fetch(request) {
    await request.arrayBuffer();
    return new Response(null, { status: 204 });
  } });
  console.log(server.port);`;
  const running = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const { value } = await running.stdout.getReader().read();
  return { url: `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`, stop: () => running.kill() };
}
