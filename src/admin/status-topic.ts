/**
 * Health over MQTT (STATUS_TOPIC), for sites that watch a broker and no Prometheus: a retained status, published when it changes and
 * once a minute, and a last will, which the broker publishes if the gateway goes without a word.
 *
 * The source publishes it on its own connection, so that the last will tells of the very connection that messages come by. A second
 * connection was the alternative: it may stand while that one is away, and would need credentials, TLS and patience of its own.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { maskedIn } from "../core/text/mask.ts";
import type { StatusTopic } from "../core/source.ts";
import { version } from "../version.ts";
import type { Attention } from "./attention-schema.ts";
import type { Stats } from "./measurements.ts";

const lookEveryMs = 1_000;
const publishEveryMs = 60_000;
/** A downstream system's words may be long. */
const detailCharsMax = 500;

export interface StatusWatch {
  /** The gateway stops in order: nothing more is published after this. */
  stopped(): void;
  stop(): void;
}

/** @param announce publishes a status; it keeps the last one for when there is a connection */
export function watchStatus(options: {
  clock: Clock;
  stats: () => Stats;
  announce(status: string): void;
}): StatusWatch {
  const { clock, stats, announce } = options;
  let said = "";
  let saidMs = Number.NEGATIVE_INFINITY;

  function look(): void {
    const now = stats();
    const { level, text, since } = now.attention;
    const known = `${level} ${text} ${since}`;
    if (known === said && clock.monoMs() - saidMs < publishEveryMs) return;
    said = known;
    saidMs = clock.monoMs();
    announce(JSON.stringify(statusOf(now, now.attention, new Date(clock.wallMs()))));
  }

  const timer: Timer = clock.every(lookEveryMs, look);
  const stop = () => timer.cancel();
  return {
    stop,
    stopped() {
      stop();
      const now = new Date(clock.wallMs());
      const words = { detail: null, remedy: null };
      const told = { level: "stopped", text: "Stopped in order", since: now.toISOString(), ...words };
      announce(JSON.stringify(statusOf(stats(), told, now)));
    },
  };
}

/** What a source is to know of it. The broker cannot know when the last will is to be said, so it has no `since`. */
export function statusTopicOf(topic: string | undefined, gatewayId: string): StatusTopic | undefined {
  if (topic === undefined) return undefined;
  const lastWill = {
    gateway_id: gatewayId,
    version,
    state: "away",
    text: "The gateway's connection to the broker ended without a goodbye",
    since: null,
    detail: null,
    remedy:
      "See that the gateway's host and process run (`sluice status`), and the network between them and the broker.",
  };
  return { topic, lastWill: JSON.stringify(lastWill) };
}

/** `state`: the level of the attention, or that there is no gateway any more. */
type Sentence = Omit<Attention, "level"> & { readonly level: string };

function statusOf(stats: Stats, attention: Sentence, at: Date): Record<string, unknown> {
  const { gateway_id, uptime_seconds, ingest, spool, sinks } = stats;
  const { level: state, text, since, detail, remedy } = attention;
  const rejected = Object.values(ingest.rejected).reduce((sum, n) => sum + n, 0);
  const { received, accepted, duplicate, judging } = ingest;
  return maskedIn({
    ...{ gateway_id, version, state, text, since },
    detail: detail?.slice(0, detailCharsMax) ?? null,
    remedy,
    at: at.toISOString(),
    uptime_seconds,
    counts: { received, accepted, rejected, duplicate, judging },
    spool: { entries: spool.entries, bytes: spool.bytes, dead_letters: spool["dead_letters"] },
    waiting: Object.fromEntries(Object.entries(sinks).map(([name, { waiting }]) => [name, waiting])),
  });
}
