/**
 * The one page that builds every part, starts them in order and stops them in reverse.
 *
 * Order of a start: what can refuse (the spool's lock and integrity, the listeners' addresses) before what takes messages. Order
 * of a stop: the intake first, then the open group and its acknowledgements, then the sinks, the disk last.
 */
import { join } from "node:path";
import { authenticator } from "./intake/authenticate.ts";
import { Books } from "./intake/books.ts";
import type { Config, Loaded } from "./config/index.ts";
import { keepGatewayId } from "./config/gateway-id.ts";
import { makeDataDir } from "./config/host.ts";
import { systemClock, type Clock } from "./core/clock.ts";
import { deviceKey } from "./core/device.ts";
import { explain, type Log } from "./core/log.ts";
import type { Source } from "./core/source.ts";
import { openStore } from "./store/open-store.ts";
import { isLocalStoreInUse, localFile } from "./store/sqlite/local-file.ts";
import { createOutlook } from "./admin/outlook.ts";
import { hostClock } from "./intake/host-clock.ts";
import { startHttpServer, type HttpServer } from "./http/server.ts";
import type { GatewayView } from "./admin/views.ts";
import { Ingest } from "./intake/ingest.ts";
import { byBroker, byBrokerWarning } from "./config/mappings.ts";
import { router } from "./judge/mapping/routes.ts";
import { createJudge } from "./judge/judge.ts";
import { withoutTokens } from "./judge/redact.ts";
import { KnownMessages } from "./intake/known.ts";
import { livePolicy } from "./admin/policy.ts";
import { DeviceAuthCache } from "./registry/cache.ts";
import { createLookup } from "./registry/lookup.ts";
import type { RegistryWatcher } from "./core/registry.ts";
import type { Store } from "./core/store.ts";
import { savedCache } from "./registry/saved.ts";
import { RecentRejects } from "./admin/rejects.ts";
import { Rejudge } from "./intake/rejudge.ts";
import { createReviewQueues } from "./admin/review/review-queues.ts";
import { readAgainMs, rotation } from "./config/rotation.ts";
import { openSinks } from "./sink/index.ts";
import { Drain } from "./drain/drain.ts";
import type { Sink } from "./core/sink.ts";
import { openSources } from "./source/index.ts";
import { watchLetters } from "./spool/dead-letter-watch.ts";
import { createAttempts } from "./core/attempts.ts";
import { throttledWarn } from "./core/throttled-warn.ts";
import { RedeliveryWindow } from "./spool/redelivery.ts";
import { RetainedTopics } from "./spool/retained.ts";
import { Spool } from "./spool/spool.ts";
import { builtMs } from "./version.ts";
import { createFollow } from "./admin/follow.ts";
import { keepHistory } from "./admin/history.ts";
import { watchAttention } from "./admin/attention.ts";
import { watchProcess } from "./admin/process.ts";
import { watchedCertificates } from "./config/certificates.ts";
import { readingOf, statsLine, viewOf } from "./admin/view.ts";
import { startWatchdog } from "./intake/watchdog.ts";

export interface Gateway {
  /** Resolves when messages are taken. Far sides that are away are no error: it goes on without them. */
  start(): Promise<void>;
  /** Takes nothing more, acknowledges what is on the disk, lets sinks finish within a bound, closes. */
  stop(): Promise<void>;
  readonly view: GatewayView;
  /** host:port of the HTTP listener; once started. */
  httpAddress(): string;
  /** False where something stands still without a name for why; see watchdog.ts. */
  isProgressing(): boolean;
  /** Where devices connect to a source of this kind; undefined if it does not listen. */
  sourceAddress(kind: string): { host: string; port: number } | undefined;
}

const stopGraceMs = 10_000;
const saveCacheEveryMs = 10_000;
/** What the backlog of one device may take of the spool at once, and what devices never seen before, while they cannot be looked up. */
const spoolShareMax = 1 / 4;
/** How often the devices that are connected are looked at, if changes of the registry are not told. */
const recheckEveryMs = 1_000;

export interface GatewayOptions {
  readonly config: Config;
  readonly log: Log;
  readonly clock?: Clock;
  /** Reads the configuration again, for secrets that are renewed while it runs; absent: they are not. */
  readonly reload?: () => Loaded;
  /** In place of those that the settings name. */
  readonly sources?: (marks: ReadonlyMap<string, string>) => readonly Source[];
  readonly store?: Store;
}

export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log } = options;
  const clock = hostClock({ host: options.clock ?? systemClock, builtMs, log });
  const { dataDir, gatewayId } = config.general;
  makeDataDir(dataDir);
  const spool = new Spool({ dataDir, settings: config.spool, clock });
  if (config.postgres.url !== undefined) refuseToLeaveBehind(spool, localFile(dataDir));
  keepGatewayId(dataDir, gatewayId, log);
  clock.begin(spool.newestAtStartMs);
  const { postgres } = config;
  const store = options.store ?? openStore({ dataDir, gatewayId, postgres, clock, log });
  const { registry } = store;

  const policy = livePolicy(config.judge, log);
  const cache = new DeviceAuthCache(config.cache, clock);
  const saved = savedCache(join(dataDir, "auth-cache.db"), cache);
  saved.restore();
  const lookup = createLookup({
    registry,
    cache,
    clock,
    log,
    settings: config.lookup,
    onAvailable: () => rejudge.nudge(),
    onSettings: () => void pollSettings(),
  });
  const routeOf = config.mappings.length === 0 ? undefined : router(config.mappings);
  const judge = createJudge({
    policy: policy.get,
    auth: cache,
    requireToken: config.judge.requireToken,
    backlogBytesMax: config.spool.bytesMax * spoolShareMax,
    clock,
    routeOf,
  });

  const rejects = new RecentRejects(throttledWarn(log, clock));
  const books = new Books(spool.sidecar.books());
  const known = new KnownMessages({
    window: new RedeliveryWindow(config.spool.redeliveryWindow, spool.sidecar.packets()),
    retained: new RetainedTopics(spool.sidecar.retained()),
  });
  const ingest = new Ingest({
    judge,
    books,
    known,
    clock,
    log,
    lingerMs: config.spool.lingerMs,
    deferredBytesMax: config.spool.bytesMax * spoolShareMax,
    isKnown: ({ tenantId, deviceId }) => cache.has(tenantId, deviceId),
    resolve: ({ tenantId, deviceId, siteId }, done) => lookup.resolve(tenantId, deviceId, siteId, done),
    append(entries, record) {
      spool.append(entries, record);
      rejects.note(entries);
      follow.note(entries);
    },
    deferred: (entries) => rejudge.add(entries),
  });
  const rejudge = new Rejudge({ spool, books, judge, ingest, registry, clock, log });

  const sinks = [
    store.tables,
    ...openSinks(config, { dataDir, gatewayId, held: spool, events: store.events, clock, log }),
  ];
  const { freeBytesMin } = config.spool;
  const retention = store.keepRetention?.({ ...config.local, freeBytesMin });
  const drains = sinks.map((sink) => new Drain({ sink, spool, clock, log }));
  const maySkip = (sink: Sink) => sink.whenFull === "skip" || config.spool.whenFull === "drop_oldest";
  const [skipping = [], holding = []] = [true, false].map((skips) =>
    sinks.filter((s) => maySkip(s) === skips).map((s) => s.name),
  );
  spool.keepFor(holding, skipping);

  const queues = createReviewQueues({ store, spool, sinks, ingest, registry, judge, log });

  const marks = spool.sidecar.marks();
  const sources =
    options.sources?.(marks) ??
    openSources(config, {
      gatewayId,
      dataDir,
      clock,
      log,
      ...authenticator({ cache, lookup, clock }),
      withoutTokens,
      payloadBytesMax: () => policy.get().payloadBytesMax,
      mapped: {
        filters: config.mappings.map(({ topic }) => topic.filter),
        takes: (topic) => routeOf?.(topic) !== undefined,
      },
      marks,
    });
  const outlook = createOutlook({
    clock,
    read: () => readingOf(spool, drains),
  });
  const watchdog = startWatchdog({
    seconds: config.watchdog.seconds,
    lookupMs: config.lookup.registryWaitMs,
    clock,
    log,
    intake: ingest,
    sources,
  });
  const letterWatch = watchLetters({ letters: spool.deadLetters, clock, log });
  const attempts = createAttempts(clock);
  const processWatch = watchProcess(clock);
  const attention = watchAttention(clock, () => view.ready());
  const history = keepHistory({
    path: join(dataDir, "history.ndjson"),
    clock,
    read: () => view.measurements(),
  });
  const follow = createFollow(
    clock,
    () => new Map(drains.map((drain) => [drain.sink.name, spool.head - drain.stats().waiting])),
  );
  const parts = {
    gatewayId,
    attempts,
    clock,
    startedMonoMs: clock.monoMs(),
    sources,
    ingest,
    books,
    policy,
    registry,
    rejects,
    cache,
    lookup,
    spool,
    drains,
    queues,
    outlook,
    watchdog,
    processWatch,
    attention,
    history,
    follow,
    certificates: watchedCertificates(config, clock),
    letterWatch,
    retention,
    bytesMax: config.spool.bytesMax,
    pollSettings,
  };
  const view = viewOf(parts);
  let http: HttpServer | undefined;
  clock.onTimeKnown(() => rejudge.nudge());
  const closers: (() => unknown)[] = [
    () => retention?.close(),
    clock.stop,
    watchdog.stop,
    processWatch.stop,
    attention.stop,
    history.stop,
    follow.stop,
    letterWatch.stop,
    outlook.stop,
  ];

  /** Two may be under way; what was read earlier must not take the place of what was read later. */
  let [settingsAsked, settingsApplied] = [0, 0];
  async function pollSettings(): Promise<void> {
    const asked = ++settingsAsked;
    try {
      const rows = await registry.settings();
      if (asked < settingsApplied) return;
      settingsApplied = asked;
      policy.apply(rows);
    } catch (error) {
      log.debug({ error: explain(error) }, "app_settings cannot be read; the last values stay");
    }
  }

  async function keepCache(): Promise<void> {
    await saved
      .save()
      .catch((error: unknown) =>
        log.warn({ error: explain(error) }, "the auth cache cannot be kept for a restart"),
      );
  }

  async function start(): Promise<void> {
    http = startHttpServer({
      settings: config.http,
      view,
      auditFile: join(dataDir, "audit.ndjson"),
      attempts,
      clock,
      log,
    });
    await pollSettings();
    const unwatch = registry.watch(rechecking(lookup.watcher, sources));
    const rechecks = clock.every(recheckEveryMs, () => {
      if (lookup.stats().changes_unheard !== null) for (const source of sources) source.recheck?.();
    });
    closers.push(() => rechecks.cancel());
    const polling = clock.every(config.general.settingsPollSeconds * 1000, () => void pollSettings());
    const renewal = options.reload && rotation(config, options.reload, log);
    const renewing = clock.every(readAgainMs, () => {
      renewal?.();
      for (const source of sources) source.renewTls?.();
    });
    const saving = clock.every(saveCacheEveryMs, () => void keepCache());
    closers.push(
      unwatch,
      () => polling.cancel(),
      () => saving.cancel(),
      () => renewing.cancel(),
      keepCache,
      saved.close,
    );
    if (config.general.logStatsEverySeconds > 0) {
      const stats = clock.every(config.general.logStatsEverySeconds * 1000, () =>
        log.info(statsLine(parts), "stats"),
      );
      closers.push(() => stats.cancel());
    }
    if (config.mappings.length > 0) log.info({ mappings: config.mappings.length }, "mappings are in force");
    const open = byBroker(config.mappings);
    if (open.length > 0) log.warn({ topics: open }, byBrokerWarning);
    for (const drain of drains) drain.start();
    rejudge.start();
    const starting = sources.map((source) =>
      source.start(ingest.port((messages) => source.settled(messages))),
    );
    await Promise.all(starting);
  }

  /** One step that fails keeps no other from its turn: the spool is closed in any case. @throws the first failure */
  async function stop(): Promise<void> {
    const steps: (() => unknown)[] = [
      ...sources.map((source) => () => source.stopIntake()),
      () => ingest.flush(),
      () => rejudge.stop(),
      () => Promise.all(drains.map((drain) => drain.stop(stopGraceMs))),
      ...sources.map((source) => () => source.close()),
      ...closers.splice(0),
      () => lookup.close(),
      () => http?.stop(),
      () => log.info(statsLine(parts), "stats"),
      () => store.close(),
      () => spool.close(),
    ];
    const failures: unknown[] = [];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
        log.error(
          { error: explain(error) },
          "a part did not stop as it should; the others are stopped all the same",
        );
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  return {
    view,
    start,
    stop,
    isProgressing: watchdog.isProgressing,
    httpAddress: () => http?.address ?? "",
    sourceAddress: (kind) => sources.find((source) => source.status().kind === kind)?.address?.(),
  };
}

/** What is told of devices concerns their connections, too. */
function rechecking(watcher: RegistryWatcher, sources: readonly Source[]): RegistryWatcher {
  const recheck: NonNullable<Source["recheck"]> = (isMeant) => {
    for (const source of sources) source.recheck?.(isMeant);
  };
  return {
    ...watcher,
    devices(ids) {
      watcher.devices(ids);
      const told = new Set(ids.map(({ tenantId, deviceId }) => deviceKey(tenantId, deviceId)));
      recheck((tenantId, deviceId) => told.has(deviceKey(tenantId, deviceId)));
    },
    tenant(told) {
      watcher.tenant(told);
      recheck((tenantId) => told === null || told === tenantId);
    },
    restored() {
      watcher.restored();
      recheck();
    },
  };
}

/**
 * A site that ran on its local store and is given a DATABASE_URL has its devices and its place in the spool there: to go on would
 * reject every device, and store again what is stored.
 */
function refuseToLeaveBehind(spool: Spool, path: string): void {
  if (spool.hasSink("postgres") || !isLocalStoreInUse(path)) return;
  spool.close();
  throw new Error(
    `this site ran on its local store, ${path}: \`sluice migrate --from-local\` moves its devices and rows to PostgreSQL; or remove that file to begin anew`,
  );
}
