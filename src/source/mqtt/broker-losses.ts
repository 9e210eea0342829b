/**
 * What the broker gives up before we see it. Mosquitto queues 1,000 messages for a client that is away and drops the rest without a
 * word to either side; but it counts them, and publishes the count to whoever asks. So we ask.
 *
 * The count is of all its clients and since its start. What counts here is what came on top since we last heard it, also if that was
 * before our own restart, so the last count is kept in a file. A broker that refuses to tell, or has no such topic, is left alone.
 * Rejected alternative: to compare what devices say they sent (`seq`); not all of them count, and a gap has many causes.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { Clock } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { throttledWarn } from "../../core/log/throttled-warn.ts";
import { isoOf } from "../../core/text/iso.ts";
import { writeWhole } from "../../core/file/whole-file.ts";

/** Of Mosquitto, retained. */
export const lossTopic = "$SYS/broker/publish/messages/dropped";

export interface BrokerLosses {
  /** The broker published its count. */
  heard(payload: Uint8Array): void;
  /** It says that it has no session of this client id any more. */
  sessionLost(clientId: string): void;
  /** For `/stats`. */
  stats(): LossStats;
}

export interface LossStats {
  /** When it last said so; ISO 8601, UTC. */
  readonly session_lost_at: string | null;
  /** By the broker's count, while this process ran and since the last one ended; absent until it has told. */
  readonly broker_dropped?: number;
  /** When it last told of more; ISO 8601, UTC. */
  readonly broker_dropped_at?: string | null;
}

const shape = z.object({ broker: z.string(), count: z.number() });

/** @param path undefined: for as long as the process lives */
export function createBrokerLosses(
  path: string | undefined,
  broker: string,
  clock: Clock,
  log: Log,
): BrokerLosses {
  const warn = throttledWarn(log, clock);
  let last = path === undefined ? undefined : lastCount(path, broker);
  let isTold = false;
  let lost = 0;
  let atMs: number | null = null;
  let sessionLostMs: number | null = null;

  function keep(count: number): void {
    last = count;
    try {
      if (path !== undefined) writeWhole(path, `${JSON.stringify({ broker, count })}\n`);
    } catch (error) {
      // After a restart it would be told of once more, or not at all.
      log.debug({ path, error: explain(error) }, "the broker's count cannot be kept");
    }
  }

  return {
    heard(payload) {
      const text = Buffer.from(payload).toString();
      if (!/^\d{1,15}$/.test(text)) return;
      const count = Number(text);
      isTold = true;
      // Less than before: the broker was restarted and counts anew.
      const more = last === undefined ? 0 : count < last ? count : count - last;
      if (count !== last) keep(count);
      if (more === 0) return;
      lost += more;
      atMs = clock.wallMs();
      warn({ broker, messages: more }, lossText);
    },
    sessionLost(clientId) {
      sessionLostMs = clock.wallMs();
      log.warn({ broker, client_id: clientId }, sessionLostText);
    },
    stats: () => ({
      session_lost_at: isoOf(sessionLostMs),
      ...(isTold && { broker_dropped: lost, broker_dropped_at: isoOf(atMs) }),
    }),
  };
}

const lossText =
  "the broker says that it dropped messages for one of its clients; what it keeps for a client that is away has a limit there (Mosquitto: max_queued_messages)";

const sessionLostText =
  "the broker says that it lost our session, and so what it had kept for us (it was restarted without its store, or another client used our id; ActiveMQ Classic says so always); subscribed again";

/** The first start finds no file; a file that cannot be read is as none: the next count is where we begin. */
function lastCount(path: string, broker: string): number | undefined {
  try {
    const known = shape.parse(JSON.parse(readFileSync(path, "utf8")));
    return known.broker === broker ? known.count : undefined;
  } catch {
    return undefined;
  }
}
