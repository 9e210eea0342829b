/** The last hour or day, a point per minute, kept by the gateway over restarts. */
import { useEffect, useRef, useState } from "hono/jsx/dom";
import uPlot from "uplot";
import { useAnswer } from "./api.ts";
import type { Sample } from "./types.ts";

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
  const [minute, setMinute] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setMinute((n) => n + 1), 60_000);
    return () => clearInterval(timer);
  }, []);
  const { answer } = useAnswer<{ samples: readonly Sample[] }>("/history", minute);
  const from = Date.now() - hours * 3_600_000;
  const samples = (answer?.samples ?? []).filter(({ at }) => Date.parse(at) >= from);
  const reasons = [...new Set(samples.flatMap(({ rejected }) => Object.keys(rejected)))].slice(0, 3);
  const sinks = [...new Set(samples.flatMap(({ waiting }) => Object.keys(waiting)))];
  return (
    <section id="curves">
      <h2>Curves</h2>
      <div role="group" aria-label="How far back">
        {[1, 24].map((choice) => (
          <button type="button" key={choice} aria-pressed={hours === choice} onClick={() => setHours(choice)}>
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
              ...reasons.map((reason) => ({ name: reason, of: (s: Sample) => s.rejected[reason] ?? 0 })),
            ]}
          />
          <Chart
            title="From arrival, in ms"
            samples={samples}
            curves={[
              { name: "disk, half", of: ({ to_disk_ms: to }) => to?.p50 ?? null },
              { name: "disk, 99 of 100", of: ({ to_disk_ms: to }) => to?.p99 ?? null },
              ...sinks.map((sink) => ({
                name: `${sink}, 99 of 100`,
                of: (s: Sample) => s.to_sink_ms[sink]?.p99 ?? null,
              })),
            ]}
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

const height = 180;

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
  const times = samples.map(({ at }) => Date.parse(at) / 1000);
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
        axes: [axis, { ...axis, size: 60 }],
        cursor: { y: false },
      },
      [times, ...curves.map(({ of }) => samples.map(of))],
      within,
    );
    const watch = new ResizeObserver(() => plot.setSize({ width: within.clientWidth, height }));
    watch.observe(within);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [times.at(-1), times.length, curves.map(({ name }) => name).join()]);
  const last = samples.at(-1);
  const said = curves.map(({ name, of }) => `${name} ${(last && of(last)) ?? "–"}`).join(", ");
  return (
    <figure>
      <figcaption>{title}</figcaption>
      <div ref={place} role="img" aria-label={`${title}; in the last minute: ${said}`} />
    </figure>
  );
}
