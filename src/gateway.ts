/**
 * The one page that builds every part, starts them in order and stops them in reverse.
 *
 * Order of a start: what can refuse (the spool's lock and integrity, the listeners' addresses) before what takes messages. Each
 * part's closing is noted when it is opened or started, so that a stop is the start backwards: the intake first, then the open
 * group and its acknowledgements, then the sinks, the disk last. What needs to know nothing of the rest is in gateway/.
 */
import { join } from "node:path";
import { DeviceActivity } from "./admin/device-activity.ts";
import { RecentRejects } from "./admin/recent-rejects.ts";
import { createReviewQueues } from "./admin/review/review-queues.ts";
import { statsLine } from "./admin/stats.ts";
import { viewOf } from "./admin/view.ts";
import type { ViewedParts } from "./admin/viewed-parts.ts";
import { statusTopicOf } from "./admin/status-topic.ts";
import type { GatewayView } from "./admin/views.ts";
import { startWatches, type Watches } from "./admin/watches.ts";
import { watchedCertificates } from "./config/certificates.ts";
import type { Config, Loaded } from "./config/index.ts";
import { sayMappings } from "./config/mappings.ts";
import { readAgainMs, rotation, takeAnew } from "./config/rotation.ts";
import { createAttempts } from "./core/net/attempts.ts";
import { systemClock, unlessStopped, type Clock } from "./core/clock.ts";
import { countsOf } from "./core/kind.ts";
import { createClosers, type Closers } from "./core/closers.ts";
import { explain, type Log } from "./core/log/log.ts";
import { memoryShares, residentBytesMax } from "./core/memory/budget.ts";
import type { Source } from "./core/source.ts";
import type { Store } from "./core/store.ts";
import { throttledWarn } from "./core/log/throttled-warn.ts";
import { Drain } from "./drain/drain.ts";
import { openDevices } from "./gateway/devices.ts";
import { openDisk } from "./gateway/disk.ts";
import { openLatest } from "./gateway/latest.ts";
import { keepWithin } from "./gateway/memory-keeper.ts";
import { startHttpServer, type HttpServer } from "./http/server.ts";
import { authenticator } from "./intake/authenticate.ts";
import { Books } from "./intake/books.ts";
import { hostClock } from "./core/host-clock.ts";
import { finish } from "./intake/finish.ts";
import { Ingest } from "./intake/ingest.ts";
import { KnownMessages } from "./intake/known.ts";
import { recheckDevice, recheckUnheard, watcherWith } from "./intake/recheck.ts";
import { Rejudge } from "./intake/rejudge.ts";
import { router } from "./judge/mapping/routes.ts";
import { createJudge } from "./judge/judge.ts";
import { withoutTokens } from "./judge/redact.ts";
import { createTokenOwners } from "./registry/token-owners.ts";
import { openSinks, SINKS } from "./sink/index.ts";
import { openSources, SOURCES } from "./source/index.ts";
import { RedeliveryWindow } from "./spool/redelivery.ts";
import { RetainedTopics } from "./spool/retained.ts";
import { builtMs } from "./version.ts";

export interface Gateway {
  /** Resolves when messages are taken. Downstream systems that are away are no error: it goes on without them. */
  start(): Promise<void>;
  /** Takes nothing more, acknowledges what is on the disk, lets sinks finish within a bound, closes. */
  stop(): Promise<void>;
  /** Puts in force what may change while it runs; the log says what that was, and what waits for a restart. */
  reload(loaded: Loaded): Promise<void>;
  readonly view: GatewayView;
  /** host:port of the HTTP listener; once started. */
  httpAddress(): string;
  /** False if something stands still without a name for why; see watchdog.ts. */
  isProgressing(): boolean;
  /** Where devices connect to a source of this kind; undefined if it does not listen. */
  sourceAddress(kind: string): { host: string; port: number } | undefined;
}

const stopGraceMs = 10_000;
const saveCacheEveryMs = 10_000;
/** What the backlog of one device may take of the spool at once, and what devices never seen before, while they cannot be looked up. */
const backlogShareMax = 1 / 4;

export interface GatewayOptions {
  readonly config: Config;
  readonly log: Log;
  readonly clock?: Clock;
  /** Reads the configuration again, for secrets that are renewed while it runs; absent: they are not. */
  readonly reload?: () => Loaded;
  /** Ends a start that waits for a server. */
  readonly ends?: AbortSignal;
  /** In place of those that the settings name. */
  readonly sources?: (marks: ReadonlyMap<string, string>) => readonly Source[];
  readonly store?: Store;
}

/** Opens the disk and builds every part; nothing runs yet. What was opened before something refused is closed again. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const closers = createClosers(options.log);
  try {
    return build(options, closers);
  } catch (error) {
    await closers.run().catch(() => {});
    throw error;
  }
}

function build(options: GatewayOptions, closers: Closers): Gateway {
  const { config, log } = options;
  const { dataDir, gatewayId } = config.general;
  const clock = hostClock({ host: options.clock ?? systemClock, builtMs, log });
  const { spool, store } = openDisk({ config, log, clock, closers, store: options.store });
  const { registry } = store;

  const devices = openDevices({ config, registry, clock, log, closers });
  const { policy, pollSettings, cache, lookup } = devices;
  const routeOf = config.mappings.length === 0 ? undefined : router(config.mappings);
  const judge = createJudge({
    policy: policy.get,
    auth: cache,
    requireToken: config.judge.requireToken,
    backlogBytesMax: config.spool.bytesMax * backlogShareMax,
    devicesMax: config.cache.sizeMax,
    clock,
    routeOf,
  });

  /** Once it runs. */
  let watches: Watches | undefined;
  const rejects = new RecentRejects(throttledWarn(log, clock));
  const activity = new DeviceActivity(config.cache.sizeMax);
  const books = new Books(spool.sidecar.books());
  const known = new KnownMessages({
    window: new RedeliveryWindow(config.spool.redeliveryWindow, spool.sidecar.packets()),
    retained: new RetainedTopics(spool.sidecar.retained()),
    hasOwnIdentity: judge.hasOwnIdentity,
  });
  const memory = memoryShares(config.memory);
  const ingest = new Ingest({
    judge,
    books,
    known,
    clock,
    log,
    lingerMs: config.spool.lingerMs,
    bytesMax: memory.intakeBytes,
    deferredBytesMax: config.spool.bytesMax * backlogShareMax,
    isStranger: ({ tenantId, deviceId }) => !cache.has(tenantId, deviceId) && !cache.mayLack(),
    resolve: ({ tenantId, deviceId, siteId }, done) => lookup.resolve(tenantId, deviceId, siteId, done),
    append(entries, record) {
      spool.append(entries, record);
      try {
        rejects.note(entries);
        activity.note(entries);
        watches?.follow.note(entries);
      } catch (error) {
        // The group is on the disk whatever becomes of this: written again, it would be there twice.
        log.error({ error: explain(error) }, "a group was stored, but who watches was not told of it");
      }
    },
  });
  const rejudge = new Rejudge({ spool, books, judge, ingest, registry, clock, log });
  lookup.onAvailable(() => rejudge.nudge());
  clock.onTimeKnown(() => rejudge.nudge());

  const common = { dataDir, gatewayId, devicesMax: config.cache.sizeMax, clock, log };
  const latest = openLatest({ redis: config.redis, events: store.events, held: spool, clock });
  closers.add(() => latest.view.close());
  const sinks = [store.tables, ...openSinks(config, { ...common, held: spool, events: store.events })];
  const bytesMax = memory.readAheadBytes / sinks.length;
  const drains = sinks.map((sink) => new Drain({ sink, spool, clock, log, bytesMax }));
  const dropsOldest = config.spool.whenFull === "drop_oldest";
  const namesOf = (skips: boolean) =>
    sinks.filter(({ whenFull }) => (whenFull === "skip" || dropsOldest) === skips).map(({ name }) => name);
  spool.keepFor(namesOf(false), namesOf(true));

  const marks = spool.sidecar.marks();
  const sources: readonly Source[] =
    options.sources?.(marks) ??
    openSources(config, {
      ...common,
      ...authenticator({
        cache,
        lookup,
        owners: createTokenOwners({ registry, clock }),
        clock,
        outdated: (device) => recheckDevice(sources, device),
      }),
      withoutTokens,
      payloadBytesMax: () => policy.get().payloadBytesMax,
      mapped: {
        filters: config.mappings.map(({ topic }) => topic.filter),
        takes: (topic) => routeOf?.(topic) !== undefined,
      },
      statusTopic: statusTopicOf(config.general.statusTopic, gatewayId),
      marks,
    });

  let http: HttpServer | undefined;
  const attempts = createAttempts(clock);
  const parts: ViewedParts = {
    gatewayId,
    attempts,
    clock,
    startedMonoMs: clock.monoMs(),
    sources,
    counted: { sinks: countsOf(SINKS), sources: countsOf(SOURCES) },
    ingest,
    rejudge,
    books,
    policy,
    registry,
    rejects,
    activity,
    cache,
    lookup,
    spool,
    drains,
    queues: createReviewQueues({ store, spool, sinks, ingest, registry, judge, log }),
    certificates: watchedCertificates(config, clock),
    latest,
    bytesMax: config.spool.bytesMax,
    freeBytesMin: config.spool.freeBytesMin,
    pollSettings,
    watches() {
      if (watches === undefined) throw new Error("the gateway is not started");
      return watches;
    },
  };
  const view = viewOf(parts);

  function every(ms: number, run: () => void): void {
    const timer = clock.every(ms, run);
    closers.add(() => timer.cancel());
  }

  const renewTls = () => {
    for (const source of sources) source.renewTls?.();
  };
  const retryNow = () => {
    for (const source of sources) source.retryNow?.();
    for (const drain of drains) drain.retryNow();
  };

  async function start(): Promise<void> {
    let hasStarted = false;
    closers.add(() => hasStarted && log.info(statsLine(parts), "stats"));
    closers.add(keepWithin({ bytesMax: () => residentBytesMax(config.memory, cache.size), clock }));
    const { lookup: lookups, local, watchdog } = config;
    watches = startWatches({
      ...{ dataDir, clock, log, spool, store, drains, sources, ingest, view, closers },
      mappingOf: judge.mappingOf,
      saysStatus: config.general.statusTopic !== undefined,
      watchdogSeconds: watchdog.seconds,
      namedMs: { "look-up": lookups.registryWaitMs, group: config.spool.lingerMs },
      retention: { ...local, freeBytesMin: config.spool.freeBytesMin, ageNowMs: spool.age.nowMs },
    });
    const auditFile = join(dataDir, "audit.ndjson");
    const server = startHttpServer({ settings: config.http, view, auditFile, attempts, clock, log });
    http = server;
    closers.add(() => server.stop());
    const { ends = new AbortController().signal } = options;
    await unlessStopped(ends, pollSettings());
    closers.add(devices.keepCache);
    closers.add(registry.watch(watcherWith(lookup, sources)));
    const rechecks = recheckUnheard(lookup, sources, clock);
    closers.add(() => rechecks.cancel());
    const { settingsPollSeconds, logStatsEverySeconds } = config.general;
    every(settingsPollSeconds * 1000, () => void pollSettings());
    every(saveCacheEveryMs, () => void devices.keepCache());
    const renewal = options.reload && rotation(config, options.reload, log, retryNow);
    every(readAgainMs, () => {
      renewal?.();
      renewTls();
    });
    if (logStatsEverySeconds > 0)
      every(logStatsEverySeconds * 1000, () => log.info(statsLine(parts), "stats"));
    sayMappings(config.mappings, log);
    for (const source of sources) closers.add(() => source.close());
    closers.add(() => watches?.status?.stopped());
    closers.add(() => Promise.all(drains.map((drain) => drain.stop(stopGraceMs))));
    for (const drain of drains) drain.start();
    closers.add(() => rejudge.stop());
    rejudge.start();
    closers.add(() => finish(ingest, clock));
    for (const source of sources) closers.add(() => source.stopIntake());
    const takesFrom = (source: Source) => source.start(ingest.port((messages) => source.durable(messages)));
    await unlessStopped(ends, Promise.all(sources.map(takesFrom)));
    closers.add(() => watches?.attention.stopping());
    hasStarted = true;
  }

  return {
    view,
    start,
    stop: closers.run,
    async reload(loaded) {
      renewTls();
      takeAnew(config, loaded, log);
      retryNow();
      // Last, for a database that is away keeps whoever asks it waiting.
      await pollSettings();
    },
    isProgressing: () => watches?.watchdog.isProgressing() ?? true,
    httpAddress: () => http?.address ?? "",
    sourceAddress: (kind) => sources.find((source) => source.status().kind === kind)?.address?.(),
  };
}
