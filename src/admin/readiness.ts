/** `/readyz`: whether each part can do its work now, and what it says. */
import { z } from "zod";
import { explain } from "../core/log/log.ts";
import type { HostClock } from "../core/host-clock.ts";
import type { Ingest } from "../intake/ingest.ts";
import type { Rejudge } from "../intake/rejudge.ts";
import type { Lookup, LookupStats } from "../registry/contract.ts";
import type { RecentRejects } from "./recent-rejects.ts";
import type { Source } from "../core/source.ts";
import type { Drain } from "../drain/drain.ts";
import type { Spool } from "../spool/spool.ts";
import { counted } from "../core/text/readable.ts";

/** One part: a row of `/readyz`. */
export const partSchema = z.object({
  part: z.string().describe("Its kind and name: source, clock, intake, spool, registry, sink, dead letters."),
  ok: z.boolean().describe("Whether it can do its work now."),
  // One sentence without secrets.
  detail: z.string().describe("Its words."),
});
export type PartReadiness = Readonly<z.infer<typeof partSchema>>;

export interface ReadyParts {
  readonly sources: readonly Source[];
  readonly clock: HostClock;
  readonly ingest: Ingest;
  readonly lookup: Lookup;
  readonly drains: readonly Drain[];
  readonly rejects: RecentRejects;
  readonly rejudge: Pick<Rejudge, "unreadable">;
  readonly spool: Pick<Spool, "refuseUnwritable">;
  watches(): { readonly letterWatch: { detail(): string } };
}

/** Limited devices do not make the gateway unready, but whoever looks sees them. */
function takes({ rejects, clock }: Pick<ReadyParts, "rejects" | "clock">): string {
  const limited = rejects.limitedDevices(clock.wallMs());
  if (limited === 0) return "takes messages";
  return `takes messages; ${counted(limited, "device")} sent more than RATE_LIMIT_RPS and RATE_LIMIT_BACKLOG_SECONDS allow in the last ten minutes (RATE_LIMITED): /admin/rejects says which`;
}

/** Why nothing is taken in; also if nothing has come yet that its disk would not take. null: it is. */
function whyHeld({ ingest, spool }: Pick<ReadyParts, "ingest" | "spool">): string | null {
  if (ingest.held !== null) return ingest.held;
  try {
    spool.refuseUnwritable();
    return null;
  } catch (error) {
    return explain(error);
  }
}

export function readinessOf(parts: ReadyParts): PartReadiness[] {
  const { sources, clock, lookup, drains } = parts;
  const { unreadable } = parts.rejudge;
  const doubt = clock.doubt();
  const held = whyHeld(parts);
  const registry = lookup.stats();
  return [
    ...sources.map((source) => {
      const { kind, connected, detail } = source.status();
      return { part: `source ${kind}`, ok: connected, detail };
    }),
    { part: "clock", ok: doubt === null, detail: doubt ?? "the host's is believed" },
    { part: "intake", ok: held === null, detail: held ?? takes(parts) },
    { part: "spool", ok: unreadable === null, detail: unreadable ?? "can be read" },
    {
      part: "registry",
      ok: registry.available,
      detail: registryDetail(registry),
    },
    ...drains.map(sinkReadiness),
    {
      part: "dead letters",
      ok: true,
      detail: unlessDiskFails(parts.watches().letterWatch.detail) ?? "the disk cannot be read",
    },
  ];
}

function sinkReadiness(drain: Drain): PartReadiness {
  const { trouble, waiting } = drain.stats();
  const idle = waiting === 0 ? "has had nothing to deliver" : "has delivered nothing";
  const proved = drain.latency.stats().count > 0 ? "delivers" : `${idle} since the start`;
  // Of one that lost what it had: it takes what is new meanwhile.
  const { refill_reason: lacks } = drain.sink.stats?.() ?? {};
  const works = typeof lacks === "string" ? `${proved}; ${lacks}` : proved;
  const detail = trouble ?? (drain.isUnsure ? "has not answered yet since the start" : works);
  return { part: `sink ${drain.sink.name}`, ok: trouble === null && !drain.isUnsure, detail };
}

function registryDetail({ available, queries, changes_unheard: unheard }: LookupStats): string {
  if (!available) return "does not answer; known devices go on";
  if (unheard === null) return "answers";
  if (queries === 0) return `was not asked yet, and nothing tells of its changes: ${unheard}`;
  return `answers, but notifies of no change, so devices that send are read again each second: ${unheard}`;
}

/** Leaves out the numbers that are read from the disk while it cannot be read: an operator then needs the rest all the more. */
export function unlessDiskFails<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
