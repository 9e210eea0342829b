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
/** What was lost does not come back, so nothing ends it but time: long enough to be seen. */
const lossShownMs = 3_600_000;
const rejectedMinutes = 10;

const risks: readonly ((facts: RiskFacts, nowMs: number) => Attention | undefined)[] = [
  stall,
  fillingSpool,
  shortDisk,
  unfilledSink,
  endingCertificate,
  remarkOfSource,
  lossOfSource,
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

/** By the field of a source that has words of it; the source itself goes on, so that nothing else tells of it. */
const remarks: readonly (readonly [field: string, text: (source: string) => string, remedy: string])[] = [
  [
    "unread",
    (source) => `A part of source ${source} is not read`,
    "See to what is said above; the rest is read, and what waits there is kept for as long as Kafka keeps it.",
  ],
  [
    // In between the connection is good, whose turn it is.
    "rival",
    (source) => `Another client seems to have the client id of source ${source}`,
    "Look for a gateway that was set up from a copy of this one's DATA_DIR (gateway-id), and give each a GATEWAY_ID (or MQTT_CLIENT_ID) of its own.",
  ],
  [
    "loss_ahead",
    (source) => `The broker of source ${source} keeps too little for this gateway`,
    "Let it grant QoS 1 (Mosquitto: max_qos) and keep sessions for a day; or set MQTT_SESSION_EXPIRY_SECONDS to as long as you need.",
  ],
];

function remarkOfSource({ sources }: RiskFacts): Attention | undefined {
  for (const [field, textOf, remedy] of remarks)
    for (const { kind, [field]: words } of sources)
      if (typeof words === "string")
        return { level: "warning", text: textOf(kind), since: null, detail: words, remedy };
  return undefined;
}

interface Loss {
  /** The field of a source that has the time. */
  readonly field: string;
  text(source: string): string;
  detail(source: Readonly<Record<string, unknown>>): string;
  readonly remedy: string;
}

const losses: readonly Loss[] = [
  {
    field: "lost_at",
    text: (source) => `Source ${source} lost messages`,
    detail: ({ lost }) => `${number(Number(lost))} since the start: Kafka removed them before they were read`,
    remedy:
      "Let the topic keep its records for longer than the gateway is away (retention.ms, retention.bytes).",
  },
  {
    field: "broker_dropped_at",
    text: (source) => `The broker of source ${source} dropped messages`,
    detail: ({ broker_dropped: count }) =>
      `${number(Number(count))} since the start, by its own count, for whichever of its clients`,
    remedy:
      "If the gateway was away they may be its own: let the broker keep more for a client that is away (Mosquitto: max_queued_messages 0, persistence true).",
  },
  {
    field: "session_lost_at",
    text: (source) => `The broker of source ${source} says that it lost our session`,
    detail: () => "what it kept for this gateway and had not delivered will not come",
    remedy:
      "Let it keep sessions over its own restart (Mosquitto: persistence true), and for longer than the gateway is away.",
  },
];

function lossOfSource({ sources }: RiskFacts, nowMs: number): Attention | undefined {
  for (const { field, text, detail, remedy } of losses)
    for (const source of sources) {
      const at = source[field];
      if (typeof at !== "string" || Date.parse(at) < nowMs - lossShownMs) continue;
      return { level: "warning", text: text(source.kind), since: at, detail: detail(source), remedy };
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
