/** The page: one sentence, the way of a message, and what an operator does about it. Everything is drawn from the gateway's own answers. */
import { ErrorBoundary, render, useState } from "hono/jsx/dom";
import { useLive } from "./api.ts";
import { Books } from "./books.tsx";
import { Curves } from "./curves.tsx";
import { Devices } from "./devices.tsx";
import { useEffect } from "./effect.ts";
import { Follow } from "./follow.tsx";
import { Rejects } from "./rejects.tsx";
import { Sentence } from "./sentence.tsx";
import { Settings } from "./settings.tsx";
import { Tank } from "./tank.tsx";
import type { Stats } from "./types.ts";
import { Way } from "./way.tsx";

function Page() {
  const { live, oldSeconds } = useLive();
  const [followed, setFollowed] = useState("");
  const title = titleOf(live?.stats, oldSeconds !== undefined);
  useEffect(() => void (document.title = title), [title]);
  if (live === undefined)
    return (
      <p role="status">{oldSeconds === undefined ? "Asking the gateway…" : "The gateway does not answer."}</p>
    );
  const { stats } = live;
  const follow = (device: string) => {
    setFollowed(device);
    const section = document.querySelector<HTMLElement>("#follow");
    section?.scrollIntoView();
    section?.focus({ preventScroll: true });
  };
  return (
    <>
      <header>
        <h1>Sluice</h1>
        <span>{stats.gateway_id}</span>
        <nav aria-label="Parts of this page">
          <a href="#curves">Curves</a> <a href="#rejects">Rejects</a> <a href="#devices">Devices</a>{" "}
          <a href="#follow">Follow</a> <a href="#settings">Settings</a>
        </nav>
      </header>
      <Sentence attention={stats.attention} oldSeconds={oldSeconds} />
      <Way live={live} />
      <Curves />
      <div class="pair">
        <Tank spool={stats.spool} />
        <Books stats={stats} />
      </div>
      <Rejects rejected={stats.ingest.rejected} deadLetters={stats.spool.dead_letters} />
      <Devices follow={follow} />
      <Follow device={followed} setDevice={setFollowed} isAway={oldSeconds !== undefined} />
      <Settings stats={stats} />
    </>
  );
}

/** Of several tabs, which gateway it is, and whether it needs somebody. */
function titleOf(stats: Stats | undefined, isOld: boolean): string {
  if (stats === undefined) return "Sluice";
  const { attention, gateway_id: id } = stats;
  if (isOld) return `No answer – ${id}`;
  return `${attention.level === "working" ? "Sluice" : attention.text} – ${id}`;
}

/** What is drawn would change no more, and be taken for what is: "Working", of a gateway that has long stopped. */
function Failed() {
  useEffect(() => void (document.title = "Sluice"), []);
  return (
    <p role="alert">
      This page does not understand what the gateway says, which may have been upgraded: load it again.
    </p>
  );
}

const root = document.querySelector<HTMLElement>("#page");
if (root !== null)
  render(
    <ErrorBoundary fallback={<Failed />}>
      <Page />
    </ErrorBoundary>,
    root,
  );
