/** The last hour or day, a point per minute, kept by the gateway over restarts. */
import { useRef, useState } from "hono/jsx/dom";
import uPlot from "uplot";
import { useAnswer, useTick } from "./api.ts";
import { useEffect } from "./effect.ts";
import type { Sample } from "../admin/history.ts";

interface Curve {
  readonly name: string;
  readonly of: (sample: Sample) => number | null;
}

/** Told apart by more than their colour: each has a dash of its own. */
const strokes = [
  ["#2f7fd1", []],
  ["#c2410c", [8, 4]],
  ["#15803d", [3, 3]],
  ["#9333ea", [12, 3, 3, 3]],
  ["#a16207", [2, 6]],
  ["#be185d", [14, 6]],
] as const;

export function Curves() {
  const [hours, setHours] = useState(1);
  const minute = useTick(60_000);
  const { answer } = useAnswer<{ samples: readonly Sample[] }>("/history", minute);
  // By the gateway's clock, not by the browser's; in the order of time, also if the clock was set back in between.
  const now = Date.parse(answer?.samples.at(-1)?.at ?? "");
  const samples = (answer?.samples ?? [])
    .filter(({ at }) => Date.parse(at) <= now && Date.parse(at) >= now - hours * 3_600_000)
    .toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const sinks = [...new Set(samples.flatMap(({ waiting }) => Object.keys(waiting)))];
  return (
    <section id="curves">
      <h2>Curves</h2>
      <div role="group" aria-label="How far back">
        {[1, 24].map((choice) => (
          <button
            type="button"
            key={choice}
            aria-pressed={String(hours === choice)}
            onClick={() => setHours(choice)}
          >
            {choice === 1 ? "Last hour" : "Last day"}
          </button>
        ))}
      </div>
      {samples.length < 2 ? (
        <p>Two minutes after its start the gateway has something to draw.</p>
      ) : (
        <div class="charts">
          <Chart
            title="Messages per minute"
            samples={samples}
            curves={[
              { name: "accepted", of: ({ accepted }) => accepted },
              { name: "duplicate", of: ({ duplicate }) => duplicate },
              ...rejectCurves(samples),
            ]}
          />
          <Chart
            title="From arrival, in ms: half took no longer"
            samples={samples}
            curves={latencyCurves(sinks, "p50")}
          />
          <Chart
            title="From arrival, in ms: 99 of 100 took no longer"
            samples={samples}
            curves={latencyCurves(sinks, "p99")}
          />
          <Chart
            title="Entries that wait"
            samples={samples}
            curves={sinks.map((sink) => ({ name: sink, of: (s: Sample) => s.waiting[sink] ?? null }))}
          />
        </div>
      )}
    </section>
  );
}

/** As many as can be told apart beside the others. */
const reasonsMax = 3;

/** The most frequent reasons, and all others together. */
function rejectCurves(samples: readonly Sample[]): Curve[] {
  const totals = new Map<string, number>();
  for (const { rejected } of samples)
    for (const [reason, n] of Object.entries(rejected)) totals.set(reason, (totals.get(reason) ?? 0) + n);
  const reasons = [...totals].toSorted(([, a], [, b]) => b - a).map(([reason]) => reason);
  const shown = reasons.slice(0, reasonsMax);
  const others = reasons.slice(reasonsMax);
  const sum = ({ rejected }: Sample) => others.reduce((all, reason) => all + (rejected[reason] ?? 0), 0);
  return [
    ...shown.map((reason) => ({ name: reason, of: (sample: Sample) => sample.rejected[reason] ?? 0 })),
    ...(others.length === 0 ? [] : [{ name: "other rejects", of: sum }]),
  ];
}

function latencyCurves(sinks: readonly string[], of: "p50" | "p99"): Curve[] {
  return [
    { name: "disk", of: ({ to_disk_ms: to }) => to?.[of] ?? null },
    ...sinks.map((sink) => ({ name: sink, of: (sample: Sample) => sample.to_sink_ms[sink]?.[of] ?? null })),
  ];
}

/** Two samples that are further apart have a time between them in which no gateway ran: no line is drawn over it. */
const gapSeconds = 150;

/** The times, and the values of each curve at them; null: nothing is known. */
function drawn(samples: readonly Sample[], curves: readonly Curve[]): uPlot.AlignedData {
  const points = samples.flatMap((sample, i): (readonly [number, Sample | undefined])[] => {
    const at = Date.parse(sample.at) / 1000;
    const before = samples[i - 1] === undefined ? at : Date.parse(samples[i - 1]?.at ?? "") / 1000;
    return at - before > gapSeconds
      ? [
          [before + 60, undefined],
          [at, sample],
        ]
      : [[at, sample]];
  });
  return [
    points.map(([at]) => at),
    ...curves.map(({ of }) => points.map(([, sample]) => (sample === undefined ? null : of(sample)))),
  ];
}

const height = 180;
/** Between two marks, in seconds: a sample is a minute, and two marks of one minute would read the same. */
const timeSteps = [60, 300, 600, 1_800, 3_600, 7_200, 14_400, 21_600];
/** As the page shows all times. */
const hourOf = (seconds: number) => new Date(seconds * 1000).toTimeString().slice(0, 5);

function Chart({
  title,
  samples,
  curves,
}: {
  title: string;
  samples: readonly Sample[];
  curves: readonly Curve[];
}) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const within = place.current;
    if (within === null) return undefined;
    const ink = getComputedStyle(within).color;
    const axis = { stroke: ink, grid: { stroke: ink.replace("rgb(", "rgba(").replace(")", ", 0.15)") } };
    const plot = new uPlot(
      {
        width: within.clientWidth,
        height,
        series: [
          {},
          ...curves.map(({ name }, i) => {
            const [stroke, dash] = strokes[i % strokes.length] ?? ["", []];
            return { label: name, stroke, dash: [...dash], width: 2 };
          }),
        ],
        axes: [
          { ...axis, incrs: [...timeSteps], values: (_, at) => at.map(hourOf) },
          { ...axis, size: 60 },
        ],
        cursor: { y: false },
      },
      drawn(samples, curves),
      within,
    );
    const watch = new ResizeObserver(() => plot.setSize({ width: within.clientWidth, height }));
    watch.observe(within);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [samples.at(-1)?.at, samples.length, curves.map(({ name }) => name).join()]);
  const last = samples.at(-1);
  const said = curves.map(({ name, of }) => `${name} ${(last && of(last)) ?? "–"}`).join(", ");
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <div ref={place} role="img" aria-label={`${title}; in the last minute: ${said}`} />
    </figure>
  );
}
