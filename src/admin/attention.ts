/**
 * What needs somebody, in one sentence: the worst thing that is wrong now, since when, and the cure. For the page, `sluice status` and
 * whoever watches from outside.
 *
 * The beginning of a trouble is found by looking at the readiness of every part once a second. Rejected alternative: each part keeps its
 * own time, which a new part would forget to do.
 */
import type { Clock, Timer } from "../core/clock.ts";
import { duration, entriesWait } from "../core/text/readable.ts";
import { riskOf, type RiskFacts } from "./risks.ts";
import type { Attention, PartState } from "./attention-schema.ts";
import type { SinkView, Stats } from "./measurements.ts";
import type { PartReadiness } from "./readiness.ts";
import type { TroubleReport } from "../drain/trouble.ts";

/** What the sentence is made of besides readiness. */
type Facts = RiskFacts &
  Pick<Stats, "balanced"> & {
    /** Name → what to see to while it cannot deliver, of sinks that have no server. */
    readonly sinkRemedies: ReadonlyMap<string, string>;
  };

export interface AttentionWatch {
  now(facts: Facts, parts: readonly PartReadiness[]): Attention;
  /** Each part with since when it cannot do its work and what to do: there may be more in trouble than the worst. */
  partStates(facts: Facts, parts: readonly PartReadiness[]): PartState[];
  /** From now on a part that does no work is no trouble. */
  stopping(): void;
  stop(): void;
}

const lookEveryMs = 1_000;
const working: Attention = { level: "working", text: "Working", since: null, detail: null, remedy: null };

export function watchAttention(clock: Clock, ready: () => readonly PartReadiness[]): AttentionWatch {
  /** Part → wall clock at which it was first seen not ready. */
  const since = new Map<string, number>();
  let stoppingSince: string | null = null;

  function look(parts: readonly PartReadiness[]): void {
    for (const { part, ok } of parts) {
      if (ok) since.delete(part);
      else if (!since.has(part)) since.set(part, clock.wallMs());
    }
  }

  const timer: Timer = clock.every(lookEveryMs, () => look(ready()));

  function now(facts: Facts, parts: readonly PartReadiness[]): Attention {
    look(parts);
    if (!facts.balanced) return { ...unbalanced, since: null };
    if (stoppingSince !== null) return { ...stopping, since: stoppingSince };
    const [worst] = parts.filter(({ ok }) => !ok).toSorted((a, b) => rankOf(a, facts) - rankOf(b, facts));
    if (worst === undefined) return riskOf(facts, clock.wallMs()) ?? working;
    return { ...sentenceOf(worst, facts), since: sinceOf(worst), detail: worst.detail };
  }

  function partStates(facts: Facts, parts: readonly PartReadiness[]): PartState[] {
    look(parts);
    return parts.map((part) =>
      part.ok
        ? { ...part, since: null, remedy: null }
        : { ...part, since: sinceOf(part), remedy: sentenceOf(part, facts).remedy },
    );
  }

  const sinceOf = ({ part }: PartReadiness) => new Date(since.get(part) ?? clock.wallMs()).toISOString();

  return {
    now,
    partStates,
    stopping: () => void (stoppingSince = new Date(clock.wallMs()).toISOString()),
    stop: () => timer.cancel(),
  };
}

/** The last that the page hears, and then shows for as long as no gateway runs. */
const stopping: Omit<Attention, "since"> = {
  level: "warning",
  text: "The gateway is being stopped",
  detail: null,
  remedy: "What was acknowledged is on its disk; the next start goes on with it.",
};

type Sentence = Pick<Attention, "level" | "text" | "remedy">;

const unbalanced: Omit<Attention, "since"> = {
  level: "critical",
  text: "The books do not balance",
  detail: "a message is counted nowhere, or twice",
  remedy: "This is a fault in Sluice: keep /stats and the log, and report it.",
};

/** The first word of a part's name is its kind. Worst first. */
const kinds: readonly (readonly [kind: string, sentenceOf: (name: string, facts: Facts) => Sentence])[] = [
  [
    "intake",
    () => ({
      level: "critical",
      text: "Intake held: nothing is acknowledged",
      remedy:
        "If the disk is short of room, free some on it. If the spool is at SPOOL_MAX_BYTES, bring back the sink that is behind, or raise that. Else see to what is said above. What devices send waits with them and at the broker.",
    }),
  ],
  [
    "spool",
    () => ({
      level: "critical",
      text: "The spool cannot be read where messages wait to be judged",
      remedy:
        "See to what is said above. Until then they wait, and so does what comes from devices that must be looked up; devices that are known go on.",
    }),
  ],
  ["source", sourceTold],
  ["sink", sinkTold],
  [
    "registry",
    () => ({
      level: "warning",
      text: "The device registry does not answer",
      remedy:
        "Known devices go on for AUTH_CACHE_STALE_SECONDS, unknown ones wait in the spool. See that the database runs.",
    }),
  ],
  [
    "clock",
    () => ({
      level: "warning",
      text: "The host's clock is not believed",
      remedy: "Set it; readings without a time of their own get theirs then.",
    }),
  ],
];

function sourceTold(name: string, { sources }: Facts): Sentence {
  if (sources.some(({ kind, not_subscribed: refused }) => kind === name && Number(refused) > 0))
    return {
      level: "critical",
      text: `Source ${name}: the broker refuses a part of what it is to bring`,
      remedy:
        "Allow this gateway's user to read it at the broker; until then nobody keeps what is published there.",
    };
  return {
    level: "critical",
    text: `Source ${name} away: nothing comes in through it`,
    remedy:
      "See that the broker runs and lets this gateway in (`sluice check`); what devices publish waits there, as much as it keeps.",
  };
}

function sinkTold(name: string, facts: Facts): Sentence {
  const { waiting = 0, alarms }: Partial<SinkView> = facts.sinks[name] ?? {};
  const hours = facts.spool["offline_hours_left"];
  const room = typeof hours === "number" ? `; there is room for ${duration(hours * 3600)}` : "";
  if (Array.isArray(alarms) && alarms.length > 0)
    return {
      level: "critical",
      text: `Sink ${name} stands still${whereOf(alarms)} until somebody acts`,
      remedy: `Fix what is said above; delivery goes on by itself. ${entriesWait(waiting)} in the spool${room}.`,
    };
  const remedy =
    facts.sinkRemedies.get(name) ?? "its server runs and can be reached, and see to what is said above";
  return {
    level: "warning",
    text: `Sink ${name} cannot deliver`,
    remedy: `Nothing is lost: ${entriesWait(waiting)} in the spool${room}. See that ${remedy}.`,
  };
}

/** Whose lanes they are, if it is not the whole sink. */
function whereOf(alarms: TroubleReport["alarms"]): string {
  const [first, ...more] = alarms;
  if (first === undefined || alarms.some(({ lane, scope }) => lane === "" || scope === "sink")) return "";
  return ` for ${first.lane}${more.length === 0 ? "" : ` and ${more.length} more`}`;
}

function rankOf(part: PartReadiness, facts: Facts): number {
  const at = kinds.findIndex(([kind]) => kind === kindOf(part));
  const rank = at === -1 ? kinds.length : at;
  return sentenceOf(part, facts).level === "critical" ? rank : rank + kinds.length;
}

function sentenceOf({ part }: PartReadiness, facts: Facts): Sentence {
  const [kind = "", ...name] = part.split(" ");
  const row = kinds.find(([known]) => known === kind);
  return (
    row?.[1](name.join(" "), facts) ?? {
      level: "warning",
      text: `${part} cannot do its work`,
      remedy: "GET /readyz says why.",
    }
  );
}

function kindOf({ part }: PartReadiness): string {
  return part.split(" ")[0] ?? "";
}
