/**
 * The probes of `sluice check`, one per system that the gateway talks to. The sinks follow from their list; a probe of theirs
 * writes nothing on this host, so a check needs no scratch directory, which a container with a read-only root has not.
 */
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { watchedCertificates } from "../../config/certificates.ts";
import type { Config } from "../../config/index.ts";
import { byBroker, byBrokerWarning } from "../../config/mappings.ts";
import { statusTopicOf } from "../../admin/status-topic.ts";
import { probeStatusTopic } from "../../source/mqtt/probe.ts";
import { filtersOf } from "../../source/mqtt/options.ts";
import { thisHost } from "../../config/host.ts";
import { doubtOfDisk } from "../disk-kind.ts";
import { freeBytesOn, whyNoNewFile } from "../../core/file/free-bytes.ts";
import { whyReadOnly } from "../../core/file/owner.ts";
import type { CertificateEnd } from "../../core/net/pem.ts";
import { probePort } from "../../core/net/probe-port.ts";
import { systemClock } from "../../core/clock.ts";
import { valuesOf } from "../../core/kind.ts";
import { noDetours } from "../../core/sink.ts";
import { silentLog } from "../../core/log/log.ts";
import { openStore, storeNameOf, whyNotHere } from "../../store/open-store.ts";
import { localFile } from "../../store/sqlite/local-file.ts";
import { probeLocal, probeRegistry, probeTables } from "./store-probes.ts";
import { openRedis } from "../../redis/redis-client.ts";
import { isRedisNamed } from "../../redis/redis-settings.ts";
import { hostClock } from "../../core/host-clock.ts";
import { openSinks } from "../../sink/index.ts";
import type { EventTable } from "../../core/recent.ts";
import type { Store } from "../../core/store.ts";
import { whyNoSpool } from "../../spool/schema.ts";
import { whatIsMissing } from "../../spool/state.ts";
import { withDatabase } from "../../spool/tools/spool-file.ts";
import { historyIn } from "../../spool/tools/status.ts";
import { askedSources } from "../../source/index.ts";
import { builtMs } from "../../version.ts";
import { size } from "../../core/text/readable.ts";

export interface Probe {
  readonly part: string;
  /** Returns one sentence; throws if the part cannot be used. */
  readonly probe: () => Promise<string>;
}

export interface Probes {
  readonly probes: readonly Probe[];
  /** Ends what the probes opened. */
  close(): Promise<void>;
}

export function createProbes(config: Config): Probes {
  const { general, postgres, spool } = config;
  const { dataDir, gatewayId } = general;
  // Opening the local one would make it.
  const store =
    storeNameOf(postgres) === "local"
      ? undefined
      : openStore({ dataDir, gatewayId, postgres, log: silentLog, spool: historyIn(dataDir) });
  const nothing = { head: 0, read: () => [], cursorOf: () => ({ seq: 0, detours: noDetours }) };
  const parts = { dataDir, gatewayId, held: nothing, events: store?.events ?? noEvents };
  const sinks = openSinks(config, { ...parts, clock: systemClock, log: silentLog });
  return {
    probes: [
      { part: "clock", probe: probeClock },
      { part: "disk", probe: () => probeDisk(general.dataDir, spool.freeBytesMin) },
      { part: "http", probe: () => probePort("HTTP_LISTEN", config.http.listen) },
      ...certificateProbes(config),
      ...sourceProbes(config),
      ...mappingProbes(config),
      ...statusProbes(config),
      ...storeProbes(config, store),
      ...sinks.map((sink) => ({ part: sink.name, probe: () => sink.probe() })),
      ...redisProbes(config),
    ],
    async close() {
      for (const sink of sinks) await sink.close();
      await store?.close();
    },
  };
}

/** No probe reads any. */
const noEvents: EventTable = {
  async *recent() {},
  indexed: () => Promise.resolve(undefined),
  createIndex: () => Promise.resolve([]),
};

/** @param store undefined: the local one */
function storeProbes(config: Config, store: Store | undefined): Probe[] {
  const { general, postgres } = config;
  const { dataDir } = general;
  const begin = async () => {
    const whyNot = whyNotHere({ postgres, dataDir, spool: historyIn(dataDir) });
    if (whyNot !== undefined) throw new Error(whyNot);
  };
  if (store === undefined) {
    return [{ part: "local", probe: () => begin().then(() => probeLocal(localFile(dataDir))) }];
  }
  return [
    { part: "registry", probe: () => begin().then(() => probeRegistry(store, config)) },
    { part: store.tables.name, probe: () => probeTables(store) },
  ];
}

/** Of a Redis that no sink writes to, but the shared auth cache needs. */
function redisProbes({ redis: settings }: Config): Probe[] {
  if (!isRedisNamed(settings) || settings.writeEnabled) return [];
  const client = openRedis({ settings, clock: systemClock, timeoutMs: settings.timeoutMs });
  const probe = async () => {
    await client.pipeline([["PING"]]).finally(() => client.close());
    return `Redis at ${client.place}`;
  };
  return [{ part: "redis", probe }];
}

function probeClock(): Promise<string> {
  const doubt = hostClock({ host: systemClock, builtMs, log: silentLog }).doubt();
  if (doubt !== null) return Promise.reject(new Error(doubt));
  return Promise.resolve(`the host's clock says ${new Date().toISOString()}`);
}

/** As the spool sees it at its first message, but that all of its file counts as free: what of it is, only who opens it can tell. */
function probeDisk(dataDir: string, freeBytesMin: number): Promise<string> {
  if (!thisHost.canWrite(dataDir)) {
    const why = `${dataDir} cannot be written by this user: see its owner, or set DATA_DIR`;
    return Promise.reject(new Error(whyReadOnly(dataDir) ?? why));
  }
  const directory = existsSync(dataDir) ? dataDir : dirname(dataDir);
  const whyNot = whyNoNewFile(directory) ?? whatIsMissing(dataDir) ?? whyForeignSpool(dataDir);
  if (whyNot !== undefined) return Promise.reject(new Error(whyNot));
  const freeBytes = freeBytesOn(directory);
  const spoolBytes = statSync(join(dataDir, "spool.db"), { throwIfNoEntry: false })?.size ?? 0;
  const has = `has ${size(freeBytes)} free`;
  const doubt = doubtOfDisk(directory);
  const but = doubt === undefined ? "" : `; but it is on ${doubt}`;
  if (freeBytes + spoolBytes >= freeBytesMin)
    return Promise.resolve(`${dataDir} can be written and ${has}${but}`);
  const why = `${dataDir} ${has} and must keep ${size(freeBytesMin)} (SPOOL_MIN_FREE_BYTES): no message is taken in before there is room`;
  return Promise.reject(new Error(why));
}

/** Another program's file in its place keeps a gateway from its start; that it is damaged is for `sluice spool verify` to tell. */
function whyForeignSpool(dataDir: string): string | undefined {
  const path = join(dataDir, "spool.db");
  try {
    const why = existsSync(path) ? withDatabase(path, whyNoSpool) : undefined;
    return why === undefined ? undefined : `${path}: ${why}`;
  } catch {
    return undefined;
  }
}

/** Who is shown one that has ended says no more than that he refuses it. A bundle of CAs may well hold some that have. */
function certificateProbes(config: Config): Probe[] {
  const own = watchedCertificates(config, systemClock)().filter(({ setting }) =>
    setting.endsWith("_TLS_CERT"),
  );
  if (own.length === 0) return [];
  const ended = own.filter(({ endsSeconds }) => endsSeconds * 1000 <= systemClock.wallMs());
  const told = (verb: string, of: readonly CertificateEnd[]) =>
    of.map((each) => `${each.setting} ${verb} valid until ${timeOf(each)}`).join("; ");
  // oxlint-disable-next-line typescript/require-await
  const probe = async () => {
    if (ended.length > 0) throw new Error(`${told("was", ended)}: put the new one into the file`);
    return told("is", own);
  };
  return [{ part: "certificates", probe }];
}

const timeOf = ({ endsSeconds }: CertificateEnd) => new Date(endsSeconds * 1000).toISOString();

/** Not a probe of another system, but worth showing in a check: what is subscribed to, and what requires no token. */
function mappingProbes({ mappings, mqtt, mapping }: Config): Probe[] {
  if (mappings.length === 0) return [];
  const filters = filtersOf(
    mqtt,
    mappings.map(({ topic }) => topic.filter),
  );
  const open = byBroker(mappings);
  const said = [
    `${mappings.length} of ${mapping.file}`,
    mqtt.url === undefined ? "topics of the embedded broker" : `subscribes to ${filters.join(", ")}`,
    ...(open.length > 0 ? [`${byBrokerWarning}: ${open.join(", ")}`] : []),
  ];
  return [{ part: "mappings", probe: () => Promise.resolve(said.join("; ")) }];
}

function statusProbes({ mqtt, broker, general }: Config): Probe[] {
  const statusTopic = statusTopicOf(general.statusTopic, general.gatewayId);
  if (statusTopic === undefined) return [];
  const ownBroker = `the embedded broker on ${broker.listen} shows it on ${statusTopic.topic}, without a last will: it ends with the gateway`;
  const probe = () =>
    mqtt.url === undefined ? Promise.resolve(ownBroker) : probeStatusTopic(mqtt, statusTopic);
  return [{ part: "status", probe }];
}

/** If there is one source its part is named `source`, as scripts know it. */
function sourceProbes(config: Config): Probe[] {
  const asked = askedSources(config);
  return asked.map((kind) => ({
    part: asked.length === 1 ? "source" : `source ${kind.name}`,
    probe: () => kind.probe(valuesOf(config, kind)),
  }));
}
