/** The way of a message as a picture: sources, judge, spool, sinks, with the rate on each arrow. Red where there is trouble; a click tells why. */
import { useState } from "hono/jsx/dom";
import type { Live } from "./api.ts";
import type { PartState } from "../admin/attention-schema.ts";
import type { Stats } from "./types.ts";
import { counted, duration, number, rate, time } from "./words.ts";

interface Place {
  readonly id: string;
  readonly title: string;
  readonly ok: boolean;
  /** Not as it should be, and yet messages pass. */
  readonly passes?: boolean;
  readonly note: string;
  readonly lines: readonly string[];
}

export function Way({ live }: { live: Live }) {
  const { stats } = live;
  const [shown, setShown] = useState("");
  const places = placesOf(live);
  const open = [...places.sources, places.judge, places.spool, ...places.sinks].find(
    ({ id }) => id === shown,
  );
  const place = (one: Place) => (
    <button
      type="button"
      key={one.id}
      id={`place-${one.id.replaceAll(" ", "-")}`}
      class={one.ok ? "place" : one.passes === true ? "place doubtful" : "place broken"}
      aria-expanded={String(shown === one.id)}
      onClick={() => setShown(shown === one.id ? "" : one.id)}
    >
      <strong>{one.title}</strong>
      <span>{one.ok || one.passes === true ? one.note : `in trouble, ${one.note}`}</span>
    </button>
  );
  const isHeld = stats.parts.some(({ part, ok }) => part === "intake" && !ok);
  return (
    <section id="way" aria-label="The way of a message">
      <div class="flow">
        <div class="column">{places.sources.map(place)}</div>
        <Arrow
          label={rateOf(live, ({ ingest }) => ingest.received)}
          isBroken={isHeld || stats.sources.every(({ connected }) => !connected)}
        />
        <div class="column">{place(places.judge)}</div>
        <Arrow label={rateOf(live, ({ ingest }) => ingest.accepted)} isBroken={isHeld} />
        <div class="column">{place(places.spool)}</div>
        <div class="column sinks">
          {Object.entries(stats.sinks).map(([name, sink], i) => (
            <div class="branch" key={name}>
              <Arrow
                label={rateOf(live, ({ sinks }) => sinks[name]?.delivered)}
                isBroken={sink.trouble !== null}
              />
              {place(places.sinks[i] ?? places.spool)}
            </div>
          ))}
        </div>
      </div>
      {open === undefined ? (
        ""
      ) : (
        <div class="told" role="region" aria-label={open.title}>
          <h3>{open.title}</h3>
          {open.lines.map((line) => (
            <p key={line}>{line}</p>
          ))}
        </div>
      )}
    </section>
  );
}

function Arrow({ label, isBroken }: { label: string; isBroken: boolean }) {
  return (
    <span class={isBroken ? "arrow broken" : "arrow"}>
      {label}
      <span aria-hidden="true"> ⟶</span>
    </span>
  );
}

function placesOf({ stats }: Live) {
  const partOf = (name: string) => partNamed(stats, name);
  const judge = [partOf("registry"), partOf("clock")];
  const broken = judge.find(({ ok }) => !ok);
  const [intake, spool] = [partOf("intake"), partOf("spool")];
  const taking = intake.ok ? "takes messages" : "is held";
  const rejected = Object.values(stats.ingest.rejected).reduce((sum, n) => sum + n, 0);
  return {
    sources: stats.sources.map(({ kind, connected }): Place => {
      return {
        id: `source ${kind}`,
        title: sourceTitle(kind),
        ok: connected,
        note: connected ? taking : "takes none",
        lines: linesOf(partOf(`source ${kind}`)),
      };
    }),
    judge: {
      id: "judge",
      title: "Judge",
      ok: broken === undefined,
      passes: true,
      note: broken === undefined ? `${number(rejected)} rejected` : `${broken.part} in trouble`,
      lines: judge.flatMap((part) => [`${part.part}: ${part.detail}`, ...linesOf(part).slice(1)]),
    },
    spool: {
      id: "spool",
      title: "Spool",
      ok: intake.ok && spool.ok,
      note: `${number(stats.spool.entries)} waiting`,
      lines: [
        ...linesOf(intake),
        ...(spool.ok ? [] : linesOf(spool)),
        `${counted(stats.spool.dead_letters, "dead letter is", "dead letters are")} kept.`,
      ],
    },
    sinks: Object.keys(stats.sinks).map((name) => sinkPlace(stats, name)),
  };
}

function partNamed({ parts }: Stats, name: string): PartState {
  return (
    parts.find(({ part }) => part === name) ?? { part: name, ok: true, detail: "", since: null, remedy: null }
  );
}

/** Its words, since when, and what to do. */
function linesOf({ detail, since, remedy }: PartState): string[] {
  return [detail, since === null ? "" : `Since ${time(since)}.`, remedy ?? ""].filter((line) => line !== "");
}

function sinkPlace(stats: Stats, name: string): Place {
  const sink = stats.sinks[name];
  const part = partNamed(stats, `sink ${name}`);
  const waiting = sink?.waiting ?? 0;
  const ageSeconds = sink?.oldest_age_seconds ?? 0;
  const age = waiting === 0 ? "" : `The oldest entry waits for ${duration(ageSeconds)}. `;
  return {
    id: `sink ${name}`,
    title: name,
    ok: part.ok,
    note: `${number(waiting)} waiting`,
    lines: [
      ...linesOf(part),
      `${age}${number(sink?.delivered ?? 0)} delivered, ${number(sink?.refused ?? 0)} refused, ${number(sink?.skipped ?? 0)} skipped, ${number(sink?.ignored ?? 0)} not meant for it.`,
    ],
  };
}

const titles: Readonly<Record<string, string>> = {
  mqtt: "Broker",
  broker: "Embedded broker",
  http_ingest: "HTTP",
  kafka: "Kafka",
};

function sourceTitle(kind: string): string {
  return titles[kind] ?? kind;
}

/** By how much a count grew since the answer before, per second as people read it. */
function rateOf(
  { stats, before, atMs, beforeMs }: Live,
  count: (stats: Stats) => number | undefined,
): string {
  const seconds = (atMs - beforeMs) / 1000;
  if (before === undefined || seconds <= 0) return rate(0);
  const now = count(stats) ?? 0;
  return rate((now - (count(before) ?? now)) / seconds);
}
