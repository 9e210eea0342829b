/**
 * What is not in trouble yet, and what is lost and does not come back: the sentence of a gateway of which every part does its work. The
 * first row that has something to say is said, so the worst stands first.
 *
 * The limits are those of `sluice help alerts`, because a site without Prometheus has only the page.
 */
import { certificateDaysMin, rejectedShareMax, spoolShareMax } from "../core/limits.ts";
import { duration, entriesWait, number, size } from "../core/text/readable.ts";
import type { Attention } from "./attention-schema.ts";
import type { Sample } from "./history.ts";
import type { Stats } from "./measurements.ts";

export type RiskFacts = Pick<Stats, "spool" | "sinks" | "sources" | "certificates" | "watchdog"> & {
  /** A sample per minute, oldest first; those of a start before this one too. */
  readonly samples: readonly Sample[];
};

const dayMs = 86_400_000;
const minuteMs = 60_000;
/** What a broker dropped does not come back, so nothing ends it but time: long enough to be seen. */
const lossShownMs = 3_600_000;
const rejectedMinutes = 10;

const risks: readonly ((facts: RiskFacts, nowMs: number) => Attention | undefined)[] = [
  stall,
  fillingSpool,
  shortDisk,
  unfilledSink,
  endingCertificate,
  sharedClientId,
  brokerLoss,
  manyRejects,
];

export function riskOf(facts: RiskFacts, nowMs: number): Attention | undefined {
  for (const risk of risks) {
    const said = risk(facts, nowMs);
    if (said !== undefined) return said;
  }
  return undefined;
}

function stall({ watchdog }: RiskFacts): Attention | undefined {
  if (watchdog.progressing) return undefined;
  return {
    level: "critical",
    text: "Messages wait without a known reason",
    since: null,
    detail: "every part says that it works, and nothing goes on",
    remedy: "The gateway frees itself, or is restarted by systemd. Keep the log and report it.",
  };
}

function fillingSpool({ spool }: RiskFacts): Attention | undefined {
  const share = spool.bytes / spool.bytes_max;
  if (!(share > spoolShareMax)) return undefined;
  return {
    level: "warning",
    text: `The spool is ${Math.floor(share * 100)} % full`,
    since: null,
    detail: `${entriesWait(spool.entries)} for the sink that is furthest behind`,
    remedy:
      "At its bound the intake is held. Find out why the sink with the most waiting entries is slow, or raise SPOOL_MAX_BYTES if the disk has room.",
  };
}

function shortDisk({ spool, sinks }: RiskFacts): Attention | undefined {
  const { free_disk_bytes: free, free_bytes_min: floor } = spool;
  if (free === null || free >= 2 * floor) return undefined;
  const lost = "local" in sinks ? "; before that, the oldest rows of the local store go" : "";
  return {
    level: "warning",
    text: "The disk of DATA_DIR is nearly full",
    since: null,
    detail: `${size(free)} are free`,
    remedy: `Free disk space: at ${size(floor)} (SPOOL_MIN_FREE_BYTES) the intake is held${lost}.`,
  };
}

/** It takes what is new, so that nothing else tells of what it lost. */
function unfilledSink({ sinks }: RiskFacts): Attention | undefined {
  for (const [name, { refill_reason: why }] of Object.entries(sinks)) {
    if (typeof why !== "string") continue;
    return {
      level: "warning",
      text: `Sink ${name} lacks values`,
      since: null,
      detail: why,
      remedy:
        "Nothing is lost: it is filled by itself. Until then it knows only devices that have sent since. If this comes again and again, see that it has maxmemory-policy noeviction and memory enough.",
    };
  }
  return undefined;
}

function endingCertificate({ certificates }: RiskFacts, nowMs: number): Attention | undefined {
  const [first] = certificates.toSorted((a, b) => Date.parse(a.ends_at) - Date.parse(b.ends_at));
  if (first === undefined) return undefined;
  const leftMs = Date.parse(first.ends_at) - nowMs;
  if (leftMs >= certificateDaysMin * dayMs) return undefined;
  const when = leftMs <= 0 ? "has ended" : `ends in ${duration(leftMs / 1000)}`;
  return {
    level: leftMs <= 0 ? "critical" : "warning",
    text: `The certificate of ${first.setting} ${when}`,
    since: null,
    detail: `it is valid until ${first.ends_at}`,
    remedy: "Put the new one into the file; the gateway reads it again by itself.",
  };
}

/** In between the connection is good, whose turn it is. */
function sharedClientId({ sources }: RiskFacts): Attention | undefined {
  for (const { kind, rival } of sources) {
    if (typeof rival !== "string") continue;
    return {
      level: "warning",
      text: `Another client seems to have the client id of source ${kind}`,
      since: null,
      detail: rival,
      remedy:
        "Look for a gateway that was set up from a copy of this one's DATA_DIR (gateway-id), and give each a GATEWAY_ID (or MQTT_CLIENT_ID) of its own.",
    };
  }
  return undefined;
}

function brokerLoss({ sources }: RiskFacts, nowMs: number): Attention | undefined {
  for (const { kind, broker_dropped: count, broker_dropped_at: at } of sources) {
    if (typeof at !== "string" || Date.parse(at) < nowMs - lossShownMs) continue;
    return {
      level: "warning",
      text: `The broker of source ${kind} dropped messages`,
      since: at,
      detail: `${number(Number(count))} since the start, by its own count, for whichever of its clients`,
      remedy:
        "If the gateway was away they may be its own: let the broker keep more for a client that is away (Mosquitto: max_queued_messages 0, persistence true).",
    };
  }
  return undefined;
}

/** Of devices that are set up wrongly a site without Prometheus hears in no other way: every part does its work. */
function manyRejects({ samples }: RiskFacts, nowMs: number): Attention | undefined {
  const beganMs = nowMs - (rejectedMinutes + 1) * minuteMs;
  const last = samples.slice(-rejectedMinutes).filter(({ at }) => Date.parse(at) > beganMs);
  // The first minutes after a start are no measure: all devices connect anew.
  if (last.length < rejectedMinutes) return undefined;
  const byReason: Record<string, number> = {};
  let received = 0;
  for (const { accepted, duplicate, rejected } of last) {
    received += accepted + duplicate;
    for (const [reason, n] of Object.entries(rejected)) {
      received += n;
      byReason[reason] = (byReason[reason] ?? 0) + n;
    }
  }
  const [[most, ofMost] = ["", 0], ...others] = Object.entries(byReason).toSorted(([, a], [, b]) => b - a);
  const count = others.reduce((sum, [, n]) => sum + n, ofMost);
  if (!(count / received > rejectedShareMax)) return undefined;
  return {
    level: "warning",
    text: `${Math.floor((count / received) * 100)} % of the messages are rejected`,
    since: null,
    detail: `${number(count)} in the last ten minutes, most often ${most}`,
    remedy: `\`sluice help ${most}\` says why and what to do. Rejects on the page, or \`GET /admin/rejects\`, names the devices.`,
  };
}
