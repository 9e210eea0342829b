/** The parts of a gateway of which it shows something. */
import type { Attempts } from "../core/net/attempts.ts";
import type { LatestParts } from "../core/latest-view.ts";
import type { CertificateEnd } from "../core/net/pem.ts";
import type { Registry } from "../core/registry.ts";
import type { Source } from "../core/source.ts";
import type { Drain } from "../drain/drain.ts";
import type { Books } from "../intake/books.ts";
import type { HostClock } from "../core/host-clock.ts";
import type { Ingest } from "../intake/ingest.ts";
import type { Rejudge } from "../intake/rejudge.ts";
import type { DeviceAuthCache } from "../registry/auth-cache.ts";
import type { Lookup } from "../registry/contract.ts";
import type { Spool } from "../spool/spool.ts";
import type { DeviceActivity } from "./device-activity.ts";
import type { LivePolicy } from "./policy.ts";
import type { RecentRejects } from "./recent-rejects.ts";
import type { ReviewQueues } from "./review/review-queues.ts";
import type { Counted } from "./views.ts";
import type { Watches } from "./watches.ts";

export interface ViewedParts {
  /** Only once it was started. */
  watches(): Watches;
  readonly gatewayId: string;
  readonly clock: HostClock;
  readonly startedMonoMs: number;
  readonly sources: readonly Source[];
  readonly counted: Counted;
  readonly attempts: Attempts;
  readonly ingest: Ingest;
  readonly rejudge: Rejudge;
  readonly books: Books;
  readonly policy: LivePolicy;
  readonly registry: Registry;
  readonly rejects: RecentRejects;
  readonly activity: DeviceActivity;
  readonly cache: DeviceAuthCache;
  readonly lookup: Lookup;
  readonly spool: Spool;
  readonly drains: readonly Drain[];
  readonly queues: ReviewQueues;
  /** Of the certificates that the settings name. */
  certificates(): readonly CertificateEnd[];
  readonly latest: LatestParts;
  readonly bytesMax: number;
  /** SPOOL_MIN_FREE_BYTES. */
  readonly freeBytesMin: number;
  /** Reads app_settings and puts it in force. */
  pollSettings(): Promise<void>;
}
