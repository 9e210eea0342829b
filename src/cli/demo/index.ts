/**
 * `sluice demo`: a whole site in one process: a gateway that is its own broker and store, a simulated fleet with some
 * bad messages among the good ones, and at the end the proof that what was sent, what was counted and what is stored
 * agree.
 */
import type { Database } from "bun:sqlite";
import { systemClock, sleep } from "../../core/clock.ts";
import { hostPort } from "../../core/net/listen.ts";
import { createGateway, type Gateway } from "../../gateway.ts";
import { createFleet } from "../../simulator/fleet.ts";
import { publishFleet, type PublishCounts, type PublishResult } from "../../simulator/publisher.ts";
import { command, type Context, number, toggle, string } from "../command.ts";
import { openDemoSite, openDemoStore } from "./site.ts";
import {
  type Reconciliation,
  reconcile,
  reconciliationTable,
  rowsOf,
  since,
  verdictsOf,
} from "./reconcile.ts";
import { faultShares } from "../simulate.ts";
import { jsonLine } from "../report.ts";

const defaultWindow = 1000;
const drainMs = 10_000;
/** The longest wait for the sinks to take what was sent. */
const settleMs = 30_000;
const settlePollMs = 20;

const options = {
  seconds: number("--seconds <n>", "End after this many seconds; 0: at Ctrl-C", {
    default: 0,
    fraction: true,
  }),
  devices: number("--devices <n>", "Devices of the fleet", { default: 25, min: 1, max: 100_000 }),
  rate: number("--rate <n>", "Messages per second; 0: as fast as they are acknowledged", {
    default: 100,
    fraction: true,
  }),
  seed: number("--seed <n>", "The same seed gives the same devices and messages", { default: 1 }),
  faults: faultShares("all"),
  dataDir: string(
    "--data-dir <path>",
    "Keep spool and store here (default: a temporary folder, removed at the end)",
  ),
  port: number("--port <n>", "HTTP port; 0: 8080 if free, else any", { default: 0, max: 65_535 }),
  json: toggle("--json", "Print the reconciliation as JSON; the live lines go to standard error"),
};

export const demo = command({
  name: "demo",
  summary: "Run a gateway, its broker and store, and a simulated fleet, and reconcile them at the end",
  options,
  readsSettings: false,
  async run(context, { options: given }) {
    const fleet = createFleet({ ...given, tenants: ["demo"] });
    const site = await openDemoSite({ ...given, window: defaultWindow });
    try {
      const gateway = await createGateway({ config: site.config, log: context.createLog("warn", 2) });
      const store = openDemoStore(site.dataDir, fleet.devices);
      try {
        await gateway.start();
        const say = given.json ? context.stderr : context.stdout;
        say(welcome(gateway, site.dataDir));
        const books = await openBooks(gateway, store);
        // The reader of the output may leave while the demo runs: it then ends as at Ctrl-C.
        const unread = new AbortController();
        const sayLive = (counts: PublishCounts) => {
          try {
            say(liveLine(counts, gateway));
          } catch (error) {
            unread.abort(error);
          }
        };
        const sent = await publishFleet({
          fleet,
          brokerUrl: brokerUrl(gateway),
          rate: given.rate,
          ...(given.seconds > 0 && { seconds: given.seconds }),
          qos: 1,
          protocolVersion: 4,
          connections: 4,
          window: defaultWindow,
          drainMs,
          clientIdPrefix: "demo",
          signal: AbortSignal.any([context.signal, unread.signal]),
          onProgress: sayLive,
        });
        unread.signal.throwIfAborted();
        return report(context, given.json, await books.close(sent));
      } finally {
        await gateway.stop();
        store.close();
      }
    } finally {
      site.leave();
    }
  },
});

interface DemoResult extends Reconciliation {
  readonly sent: number;
  readonly acknowledged: number;
}

/** Notes the books before the run, so that a directory can be used again. */
async function openBooks(gateway: Gateway, store: Database) {
  await settled(gateway, 0);
  const verdicts = verdictsOf(gateway.view.stats().ingest);
  const rows = rowsOf(store);
  const { received } = gateway.view.stats().ingest;
  return {
    async close(sent: PublishResult): Promise<DemoResult> {
      await settled(gateway, received + sent.sent);
      const stats = gateway.view.stats();
      const counted = since(verdicts, verdictsOf(stats.ingest));
      const found = reconcile(sent.expected, counted, since(rows, rowsOf(store)));
      const complete = sent.sent === sent.acknowledged && sent.sent > 0;
      const balanced = found.balanced && stats.balanced && complete;
      return { ...found, balanced, sent: sent.sent, acknowledged: sent.acknowledged };
    },
  };
}

/**
 * Waits until `received` messages came and every sink has settled them; but not for ever: what is missing then shows
 * in the books.
 */
async function settled(gateway: Gateway, received: number): Promise<void> {
  const deadlineMs = systemClock.monoMs() + settleMs;
  while (systemClock.monoMs() < deadlineMs) {
    const { ingest, sinks } = gateway.view.stats();
    const waiting = Object.values(sinks).some((sink) => sink.waiting > 0);
    if (ingest.received >= received && ingest.judging === 0 && !waiting) return;
    await sleep(systemClock, settlePollMs);
  }
}

function report(context: Context, json: boolean, result: DemoResult): number {
  const verdict = result.balanced
    ? "The books balance: everything sent was acknowledged, judged as expected and stored once.\n"
    : result.sent === 0 && Object.keys(result.outcomes).length === 0
      ? "Nothing was sent, so there is nothing to reconcile.\n"
      : `The books do NOT balance (sent ${result.sent}, acknowledged ${result.acknowledged}).\n`;
  context.stdout(json ? jsonLine(result) : `\n${reconciliationTable(result)}\n${verdict}`);
  return result.balanced ? 0 : 1;
}

function liveLine({ sent, elapsedMs }: PublishCounts, gateway: Gateway): string {
  const { ingest, spool } = gateway.view.stats();
  const rejected = Object.values(ingest.rejected).reduce((sum, count) => sum + count, 0);
  const seconds = (elapsedMs / 1000).toFixed(0);
  const rate = Math.round((sent * 1000) / elapsedMs);
  return `${seconds} s: sent ${sent} (${rate} msg/s), accepted ${ingest.accepted}, rejected ${rejected}, spool ${spool.entries}\n`;
}

function welcome(gateway: Gateway, dataDir: string): string {
  const http = `http://${gateway.httpAddress()}`;
  return [
    `Sluice demo: data in ${dataDir}`,
    `  ${http}/               the page, for a browser`,
    `  curl ${http}/stats     the books`,
    `  curl ${http}/readyz    is every part ready?`,
    "Ctrl-C ends it and reconciles.",
    "",
  ].join("\n");
}

function brokerUrl(gateway: Gateway): string {
  const address = gateway.sourceAddress("broker");
  if (!address) throw new Error("the gateway of the demo has no broker");
  return `mqtt://${hostPort(address)}`;
}
