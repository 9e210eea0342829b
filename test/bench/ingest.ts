/**
 * A backlog in the broker: how fast it becomes rows, how soon the first, and what a message costs each process.
 *
 * The clock starts before the first byte: the subject is connected and subscribed, and stopped (SIGSTOP) while the broker fills;
 * SIGCONT starts the clock, and the last commit ends it, as PostgreSQL dates it. Its own `/stats` tells nothing of when it began, and
 * would cost it time. The first backlog of a process is cold (the engine has compiled nothing), the others are warm. A third one finds
 * the table locked, so that it shows what a message costs up to its PUBACK; "peak" is that of the first two, which peers go through as
 * well, and what it is once the third has been stored is told beside it. The floor goes through the same; the bare COPY writes the
 * rows of the last backlog once more, in its batches, from text that is ready.
 */
import postgres from "postgres";
import { startMosquitto } from "../kit/mosquitto.ts";
import { startPostgres } from "../kit/postgres.ts";
import { type Figure, figureOf } from "./figures.ts";
import { createLoad, type Load, type LoadOptions, usualLoad } from "./load.ts";
import { cpuMicros, endsWithUs, peakBytes, residentBytes } from "./process.ts";
import { openPublisher } from "./publish.ts";
import {
  type Base,
  bareReceiver,
  bytesOf,
  eventsOf,
  migrated,
  type Running,
  type Site,
  type Subject,
  whenReady,
  written,
} from "./subject.ts";

const patienceMs = 300_000;
/** A subject that used so little for so long has nothing to do: one tick, which is the least that the system counts. */
const idleMicros = 10_000;
const sampleMs = 50;
/** From the first message on: what a start touched and used has been given back by then. */
const settledMs = 3_000;
/** By then the auth cache is being written to its file, every ten seconds. */
const onFileMs = 11_000;
const idleMs = 200;

export interface IngestOptions {
  readonly subjects: readonly Subject[];
  readonly messages: number;
  readonly rounds: number;
}

/** Subjects alternate, and one that had the first turn has the last one in the next round. */
export async function ingest(site: Base, { subjects, messages, rounds }: IngestOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (let round = 0; round < rounds; round++) {
    figures.push(...(await measure(site, bareReceiver, messages)));
    // Ours come before peers, and any of ours makes the same tables.
    figures.push(...(await bareCopy(site, messages, subjects[0]?.file)));
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed())
      figures.push(...(await measure(site, subject, messages)));
  }
  return figures;
}

export async function startSite(options: LoadOptions = usualLoad): Promise<Base & { stop(): Promise<void> }> {
  const server = await startPostgres({ fsync: true, settings: ["track_commit_timestamp=on"] });
  return { server, load: createLoad(options), stop: () => server.stop() };
}

/**
 * A cold backlog and a warm one, at a broker that has no session of another to fill as well. What is once per device is behind the warm
 * one: above all that each gets its row in the auth cache's file.
 */
export async function measure(
  base: Base,
  subject: Subject,
  messages: number,
  bench = "ingest",
): Promise<Figure[]> {
  console.error(`${bench}: ${subject.name}`);
  const broker = await startMosquitto({ lines: ["max_queued_messages 0", "max_inflight_messages 0"] });
  endsWithUs(broker.pid());
  const site = { ...base, broker };
  const running = await subject.start(site);
  const readyMs = await whenReady(site, running);
  await Bun.sleep(settledMs);
  const figure = figureOf(bench, subject.name);
  const figures = [
    figure("ready after, ms", readyMs),
    figure("idle, MB", sumOf(running.pids, residentBytes) / 1e6),
    figure("executable, MB", bytesOf(subject) / 1e6),
  ];
  for (const [turn, state] of ["cold", "warm"].entries()) {
    if (state === "warm") await Bun.sleep(onFileMs).then(() => idle(running.pids));
    const { rows, firstMs, storedMs, gapMs, doneMs, micros } = await drained(
      site,
      running,
      turn * messages,
      messages,
    );
    figures.push(
      figure(`${state}: arrived, msg/s`, (messages / storedMs) * 1000),
      figure(`${state}: in every sink, msg/s`, (messages / doneMs) * 1000),
      figure(`${state}: first row, ms`, firstMs),
      figure(`${state}: longest without a row, ms`, gapMs),
      ...Object.entries(micros).map(([process, used]) =>
        figure(`${state}: ${process} CPU, µs/msg`, used / messages),
      ),
      figure(`${state}: lost or doubled`, rows - messages),
    );
  }
  figures.push(figure("peak, MB", sumOf(running.pids, peakBytes) / 1e6));
  if (running.hold) {
    const release = await running.hold();
    const { used } = await released(site, running, 2 * messages, messages);
    await idle(running.pids);
    figures.push(figure("up to PUBACK: gateway CPU, µs/msg", used().gateway / messages));
    await release();
    await idle(running.pids);
    figures.push(figure("up to PUBACK: peak, MB", sumOf(running.pids, peakBytes) / 1e6));
  }
  await running.stop();
  await broker.dispose();
  return figures;
}

/** A backlog in the broker, and the subject just set free. */
async function released(site: Site, running: Running, from: number, count: number) {
  for (const pid of running.pids) process.kill(pid, "SIGSTOP");
  const publisher = await openPublisher(site.broker.port);
  await publisher.send(site.load, from, count);
  publisher.close();
  const used = usage(site, running);
  const startMs = Date.now();
  for (const pid of running.pids) process.kill(pid, "SIGCONT");
  return { startMs, used };
}

/** One backlog, from SIGCONT to its last row. */
async function drained(site: Site, running: Running, from: number, count: number) {
  const { startMs, used } = await released(site, running, from, count);
  const { arrival, micros, doneMs } = await whenIdle(running, from, count, used);
  const times = arrival.timesMs.filter((atMs) => atMs > 0).sort();
  const [firstMs = Number.NaN, lastMs = Number.NaN] = [times[0], times.at(-1)];
  return {
    rows: arrival.rows,
    firstMs: firstMs - startMs,
    gapMs: times.reduce((gapMs, atMs, i) => Math.max(gapMs, atMs - (times[i - 1] ?? startMs)), 0),
    storedMs: lastMs - startMs,
    doneMs: Math.max(doneMs, lastMs) - startMs,
    micros,
  };
}

/**
 * Waits until all has arrived and nothing is done any more, and then only asks: by what the process uses, for to ask it, or to count
 * rows meanwhile, would take what is measured.
 */
export async function whenIdle(running: Running, from: number, count: number, used: () => Used) {
  for (const end = Date.now() + patienceMs; ;) {
    const doneMs = await idle(running.pids);
    const micros = used();
    const arrival = await running.arrived(from, count);
    if (arrival.rows >= count || Date.now() > end) return { arrival, micros, doneMs };
  }
}

/** @returns when the last work was seen, in ms since the epoch */
async function idle(pids: readonly number[]): Promise<number> {
  let [before, doneMs] = [sumOf(pids, cpuMicros), Date.now()];
  while (Date.now() - doneMs < idleMs) {
    await Bun.sleep(sampleMs);
    const now = sumOf(pids, cpuMicros);
    if (now - before >= idleMicros) doneMs = Date.now();
    before = now;
  }
  return doneMs;
}

const sumOf = (pids: readonly number[], what: (pid: number) => number) =>
  pids.reduce((sum, pid) => sum + what(pid), 0);

type Used = Readonly<Record<"gateway" | "broker" | "postgres", number>>;

/** CPU from now on, in µs. */
export function usage({ broker, server }: Site, { pids }: Running): () => Used {
  const now = () => [sumOf(pids, cpuMicros), cpuMicros(broker.pid()), cpuMicros(server.pid())];
  const before = now();
  return () => {
    const [gateway = 0, fromBroker = 0, postgresql = 0] = now().map((micros, i) => micros - (before[i] ?? 0));
    return { gateway, broker: fromBroker, postgres: postgresql };
  };
}

/** What PostgreSQL takes from a client that has the text ready, as many rows a transaction as ours at most. */
async function bareCopy({ server, load }: Base, messages: number, file?: string): Promise<Figure[]> {
  const url = await migrated(server, file);
  const texts: string[] = [];
  for (let from = 0; from < messages; from += batchRows)
    texts.push(
      Array.from({ length: Math.min(batchRows, messages - from) }, (_, i) => rowText(load, from + i)).join(
        "",
      ),
    );
  const sql = postgres(url, { max: 1, onnotice() {} });
  await sql`select 1`;
  const [before, startMs] = [cpuMicros(server.pid()), Date.now()];
  for (const text of texts)
    await sql.begin((tx) => written(tx.unsafe(`copy raw_events (${columns}) from stdin`).writable(), text));
  const used = cpuMicros(server.pid()) - before;
  const rows = eventsOf(url);
  const lastMs = Math.max(...(await rows.arrived(0, messages)).timesMs.filter((_, i) => i % batchRows === 0));
  await rows.close();
  await sql.end();
  const figure = figureOf("ingest", "bare COPY");
  return [
    figure("warm: arrived, msg/s", (messages / (lastMs - startMs)) * 1000),
    figure("warm: postgres CPU, µs/msg", used / messages),
  ];
}

const batchRows = 5_000;
const columns = "ingested_at, event_ts, topic, tenant_id, site_id, device_id, msg_type, payload, accepted";

function rowText(load: Load, seq: number): string {
  const { device, topic, payload } = load.message(seq);
  const { tenantId, siteId, deviceId, token } = device;
  const now = new Date().toISOString();
  const cells = [
    now,
    now,
    topic,
    tenantId,
    siteId,
    deviceId,
    "telemetry",
    payload.replace(token, "***"),
    "true",
  ];
  return `${cells.join("\t")}\n`;
}
