/**
 * A row of the fault table: what goes wrong, how it is caused, and the result. Every row ends the same way: once the
 * fault is over, everything must be stored exactly once without help, and the books must agree with the tables. A row
 * in which too little happened proves nothing and does not hold either.
 */
import { explain } from "../../src/core/log/log.ts";
import { seededRandom, type Random } from "../../src/simulator/random.ts";
import type { Stats } from "../../src/admin/measurements.ts";
import type { Verdict } from "../kit/oracle.ts";
import { until } from "../kit/until.ts";
import type { PostgresServer } from "../kit/postgres.ts";
import { openSite, type Site, type SiteOptions } from "./site.ts";

export interface Fault {
  /** For --only. */
  readonly name: string;
  /** The row's first cell. */
  readonly says: string;
  readonly site?: SiteOptions;
  /** How often it happens in CI's selection and in the long run. */
  readonly few: number;
  readonly many: number;
  /** Prepares it. @returns why it cannot be caused on this machine, "" if it can */
  prepare?(): string;
  /** Cleans up what `prepare` made. */
  done?(): void;
  /** Causes it that many times, under load. @returns how often it happened */
  run(site: Site, times: number, random: Random): Promise<number>;
  /** What else must be true at the end: one sentence per thing that is not. */
  also?(site: Site, stats: readonly Stats[]): string[] | Promise<string[]>;
  /** The spool began anew or went back, so its books do not cover all that is in the tables. */
  readonly partialBooks?: boolean;
  /** What the broker itself may lose and send twice as new, and why. */
  readonly brokerErrs?: string;
}

export interface Row extends Verdict {
  readonly fault: Fault;
  readonly happened: number;
  /** Messages that came again and were recognised. */
  readonly recognised: number;
  /** Everything that does not hold; the row holds if this is empty. */
  readonly problems: readonly string[];
}

const acknowledgedMin = 100;
const settleMs = 90_000;

/** Never throws: what went wrong is in the row. */
export async function runFault(
  server: PostgresServer,
  fault: Fault,
  times: number,
  seed: number,
): Promise<Row> {
  const site = await openSite(server, fault.site ?? {});
  try {
    await site.start();
    const load = fault.site?.rate === 0 ? undefined : site.load();
    await Bun.sleep(300);
    // While PostgreSQL is away only devices that the gateway knows are sure to be taken.
    const knows = 2 * site.oracle.fleet.devices.length;
    if (load)
      await until(async () => (await site.gateway.stats()).ingest.accepted >= knows, 20_000).catch(() => {});
    const happened = await fault.run(site, times, seededRandom(seed));
    // A fault may be over before a busy machine has sent enough; if it never does, the row says so.
    if (load)
      await until(() => site.oracle.judge([]).acknowledged >= acknowledgedMin, 60_000).catch(() => {});
    await load?.stop();
    return await rowOf(site, fault, happened, times);
  } catch (error) {
    const logs = site.gateways.map((gateway) => gateway.log().slice(-3000));
    const verdict = site.oracle.judge(await site.rows().catch(() => []));
    return {
      fault,
      ...verdict,
      happened: 0,
      recognised: 0,
      problems: [[explain(error), ...logs].join("\n")],
    };
  } finally {
    await site.close();
  }
}

async function rowOf(site: Site, fault: Fault, happened: number, times: number): Promise<Row> {
  const verdict = await settled(site, fault);
  const stats = await site.stats();
  const problems = [
    ...complaints(fault, verdict, happened, times),
    ...(await books(site, fault, stats)),
    ...((await fault.also?.(site, stats)) ?? []),
  ];
  const recognised = stats.reduce((sum, { ingest }) => sum + ingest.duplicate, 0);
  return { fault, ...verdict, happened, recognised, problems };
}

/**
 * Waits until everything acknowledged is stored and nothing is under way; if that does not happen, the verdict says
 * so.
 */
async function settled(site: Site, fault: Fault): Promise<Verdict> {
  const end = performance.now() + settleMs;
  let before = "";
  for (;;) {
    await Bun.sleep(400);
    const now = await site.stats().catch((error: unknown) => String(error));
    const seen = typeof now === "string" ? now : JSON.stringify(now.map(({ ingest }) => ingest));
    const quiet = typeof now !== "string" && seen === before && now.every(isIdle);
    before = seen;
    const late = performance.now() > end;
    if (!quiet && !late) continue;
    const verdict = site.oracle.judge(await site.rows());
    if (late || verdict.lost === (fault.brokerErrs === undefined ? 0 : verdict.lostByBroker)) return verdict;
  }
}

function isIdle({ ingest, spool, source, sinks }: Stats): boolean {
  const { connected, unacknowledged } = source as { connected: boolean; unacknowledged: number };
  const waiting = Object.values(sinks).reduce((sum, sink) => sum + sink.waiting, 0);
  return connected && unacknowledged === 0 && ingest.judging === 0 && spool.entries === 0 && waiting === 0;
}

function complaints(fault: Fault, verdict: Verdict, happened: number, times: number): string[] {
  const { lost, lostByBroker, duplicate, repeatedByBroker, acknowledged } = verdict;
  const byBroker = fault.brokerErrs !== undefined;
  return [
    ...(lost > (byBroker ? lostByBroker : 0) ? [`${lost} lost (${lostByBroker} by the broker)`] : []),
    ...(duplicate > (byBroker ? repeatedByBroker : 0)
      ? [`${duplicate} duplicate (${repeatedByBroker} by the broker)`]
      : []),
    ...verdict.wrong,
    ...(acknowledged < acknowledgedMin ? [`only ${acknowledged} messages were acknowledged`] : []),
    ...(happened < times ? [`the fault happened only ${happened} of ${times} times`] : []),
  ];
}

/** Compares the books with themselves and with the tables. */
async function books(site: Site, fault: Fault, stats: readonly Stats[]): Promise<string[]> {
  const problems = stats.flatMap((one) =>
    one.balanced ? [] : [`the books of ${one.gateway_id} do not balance: ${JSON.stringify(one)}`],
  );
  if (fault.partialBooks) return problems;
  const rows = await site.rows();
  const quarantined = rows.filter(({ reason }) => reason !== null).length;
  const total = (of: (one: Stats) => number) => stats.reduce((sum, one) => sum + of(one), 0);
  const rejected = total(({ ingest }) => Object.values(ingest.rejected).reduce((sum, n) => sum + n, 0));
  const refused = total(({ sinks }) => (sinks["postgres"] ?? sinks["local"])?.refused ?? 0);
  const accepted = total(({ ingest }) => ingest.accepted);
  const agree = (what: string, here: number, there: number) =>
    here === there ? [] : [`${what}: the books say ${here}, the tables ${there}`];
  return [
    ...problems,
    ...agree("accepted", accepted, rows.length - quarantined + refused),
    ...agree("rejected", rejected, quarantined),
    ...agree("rejected by the minute", rejected, await site.rejectsCounted()),
  ];
}
