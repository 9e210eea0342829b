/** Starts what looks at a gateway while it runs: each by a timer of its own, none of them on a message's way. */
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Closers } from "../core/closers.ts";
import type { Entry } from "../core/entry.ts";
import type { Log } from "../core/log/log.ts";
import type { Source } from "../core/source.ts";
import type { Retention, RetentionBounds, Store } from "../core/store.ts";
import type { Drain } from "../drain/drain.ts";
import type { Ingest } from "../intake/ingest.ts";
import { type Oldest, startWatchdog, type Watchdog } from "../intake/watchdog.ts";
import { type LetterWatch, watchLetters } from "../spool/dead-letter-watch.ts";
import type { Spool } from "../spool/spool.ts";
import { type AttentionWatch, watchAttention } from "./attention.ts";
import { createFollow, type Follow } from "./follow.ts";
import { type History, keepHistory } from "./history.ts";
import { createOutlook, type Outlook, readingOf } from "./outlook.ts";
import { type ProcessWatch, watchProcess } from "./process.ts";
import { type StatusWatch, watchStatus } from "./status-topic.ts";
import type { GatewayView } from "./views.ts";

/** What looks at a gateway while it runs. */
export interface Watches {
  readonly outlook: Outlook;
  readonly watchdog: Watchdog;
  readonly processWatch: ProcessWatch;
  readonly attention: AttentionWatch;
  readonly history: History;
  readonly follow: Follow;
  readonly letterWatch: LetterWatch;
  readonly retention: Retention | undefined;
  readonly status: StatusWatch | undefined;
}

export interface WatchedParts {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly spool: Spool;
  readonly store: Store;
  readonly drains: readonly Drain[];
  readonly sources: readonly Source[];
  readonly ingest: Ingest;
  readonly view: GatewayView;
  readonly closers: Closers;
  /** The topic pattern of the mapping that reads this topic. */
  mappingOf(topic: string): string | undefined;
  /** See intake/watchdog.ts. */
  readonly watchdogSeconds: number;
  readonly namedMs: Readonly<Record<Oldest["stage"], number>>;
  readonly retention: RetentionBounds;
  /** STATUS_TOPIC is set. */
  readonly saysStatus: boolean;
}

export function startWatches(parts: WatchedParts): Watches {
  const { dataDir, clock, log, spool, store, drains, sources, ingest, view, closers } = parts;
  const sinksOf = (entry: Entry) =>
    drains.flatMap(({ sink, progress }) => {
      const isSettled = progress.settles(entry);
      return isSettled ? [{ sink: sink.name, isSettled }] : [];
    });
  const watches = {
    outlook: createOutlook({ clock, read: () => readingOf(spool, drains) }),
    watchdog: startWatchdog({
      seconds: parts.watchdogSeconds,
      namedMs: parts.namedMs,
      clock,
      log,
      intake: ingest,
      sources,
    }),
    letterWatch: watchLetters({ letters: spool.deadLetters, clock, log }),
    processWatch: watchProcess(clock),
    attention: watchAttention(clock, view.ready),
    history: keepHistory({ path: join(dataDir, "history.ndjson"), clock, read: view.measurements }),
    follow: createFollow({ clock, sinksOf, mappingOf: parts.mappingOf }),
  };
  for (const { stop } of Object.values(watches)) closers.add(stop);
  const retention = store.keepRetention?.(parts.retention);
  closers.add(() => retention?.close());
  const announce = (status: string) => sources.forEach((source) => source.announce?.(status));
  const status = parts.saysStatus ? watchStatus({ clock, stats: view.stats, announce }) : undefined;
  closers.add(() => status?.stop());
  return { ...watches, retention, status };
}
