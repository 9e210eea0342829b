/** A whole gateway in this process, with a source that a test feeds. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import type { Intake, Message } from "../../src/core/message.ts";
import type { Source } from "../../src/core/source.ts";
import { createGateway, type Gateway, type GatewayOptions } from "../../src/gateway.ts";
import type { Stats } from "../../src/admin/measurements.ts";
import type { NewDevice } from "../../src/core/device.ts";
import { aBody, aMessage, sha256 } from "./builders.ts";
import { until } from "./until.ts";

/** Takes what a test gives it, and keeps what was acknowledged. */
export interface FedSource extends Source {
  readonly settledCount: () => number;
  give(...messages: Message[]): void;
}

function fedSource(): FedSource {
  let intake: Intake | undefined;
  let settled = 0;
  return {
    start(given) {
      intake = given;
      return Promise.resolve();
    },
    durable: (messages) => void (settled += messages.length),
    stopIntake() {
      intake = undefined;
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
    reconnect: () => {},
    status: () => ({
      kind: "mqtt",
      connected: true,
      detail: "fed by a test",
      reconnects: 0,
      unacknowledged: 0,
    }),
    settledCount: () => settled,
    give(...messages) {
      if (intake === undefined) throw new Error("the gateway takes nothing");
      for (const message of messages) intake.receive(message);
    },
  };
}

export interface InProcess {
  readonly gateway: Gateway;
  readonly source: FedSource;
  readonly dataDir: string;
  stats(): Stats;
  /** The intake's rejects by reason. */
  rejected(): Readonly<Record<string, number>>;
  /** Resolves once every message given was acknowledged. */
  acknowledged(): Promise<void>;
}

const ends: (() => unknown)[] = [];

/** For `afterEach`. */
export async function stopAll(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}

export function endLater(end: () => unknown): void {
  ends.push(end);
}

export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "sluice-inprocess-"));
  endLater(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Starts it with the settings of `env`; ended by `stopAll`, or before by its own `stop`. */
export async function startInProcess(
  env: Readonly<Record<string, string>> = {},
  more: Partial<GatewayOptions> & { withBroker?: boolean } = {},
): Promise<InProcess> {
  const dataDir = env["DATA_DIR"] ?? scratch();
  const loaded = loadConfig({
    GATEWAY_ID: "test",
    HTTP_LISTEN: "127.0.0.1:0",
    LOG_STATS_EVERY_SECONDS: "0",
    ...env,
    DATA_DIR: dataDir,
  });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  const source = fedSource();
  const { withBroker = false, ...options } = more;
  const inner = await createGateway({
    config: loaded.config,
    log: silentLog,
    ...(!withBroker && { sources: () => [source] }),
    ...options,
  });
  let stopped: Promise<void> | undefined;
  const gateway: Gateway = { ...inner, stop: () => (stopped ??= inner.stop()) };
  // If a test stopped it itself, it has seen the result.
  endLater(() => (stopped ? undefined : gateway.stop()));
  await gateway.start();
  const stats = () => gateway.view.stats();
  return {
    gateway,
    source,
    dataDir,
    stats,
    rejected: () => stats().ingest.rejected,
    async acknowledged() {
      const given = stats().ingest.received;
      await until(() => source.settledCount() >= given);
    },
  };
}

/** Telemetry of `deviceId` of acme, in order of `seq`. Its token is tok-<deviceId>, its site lab-1. */
export function telemetry(
  deviceId: string,
  seq: number,
  changes: Record<string, unknown> = {},
  receivedMs = Date.now(),
): Message {
  const body = aBody({
    device_id: deviceId,
    seq,
    provision_token: tokenFor(deviceId),
    ts: undefined,
    ...changes,
  });
  const topic = `tenant/acme/device/${deviceId}/telemetry`;
  return aMessage(body, { topic, packetId: (seq % 65_535) + 1, receivedMs });
}

export function tokenFor(deviceId: string): string {
  return `tok-${deviceId}`;
}

/** The devices that `telemetry` speaks for, as they are registered. */
export function registered(deviceIds: readonly string[]): NewDevice[] {
  return deviceIds.map((deviceId) => ({
    tenantId: "acme",
    deviceId,
    siteId: "lab-1",
    tokenHash: sha256(tokenFor(deviceId)),
  }));
}

/** dev-0000 and so on. */
export function fleet(count: number, prefix = "dev"): string[] {
  return Array.from({ length: count }, (_, n) => `${prefix}-${String(n).padStart(4, "0")}`);
}
