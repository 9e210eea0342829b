/** `sluice status`: one screen about a running gateway. `sluice top`: the same, again every second, with rates. */
import { sleep, systemClock } from "../../core/clock.ts";
import { command, type Context, number, toggle } from "../command.ts";
import { fitting, type Rates, screen, type ShownStats, shownStats } from "./screen.ts";
import { type WhichGateway, clientOf, runningOptions } from "../which-gateway.ts";
import { explain } from "../../core/log/log.ts";
import { jsonLine } from "../report.ts";

interface Look {
  readonly atMs: number;
  readonly stats: ShownStats;
}

export const status = command({
  name: "status",
  summary:
    "Show the gateway's state: what is wrong and since when, what comes in, what waits; exit code 1 if it is critical",
  options: { ...runningOptions, json: toggle("--json", "Print GET /stats as JSON") },
  async run(context, { options }) {
    const look = await looker(context, options)();
    if (options.json) context.stdout(jsonLine(look.stats));
    else context.drawn(screen({ ...look, inColour: inColour(context) }));
    return look.stats.attention.level === "critical" ? 1 : 0;
  },
});

const clearScreen = "\u001b[H\u001b[2J";

export const top = command({
  name: "top",
  summary: "Show what `sluice status` shows, live and with rates, until interrupted",
  options: {
    gateway: runningOptions.gateway,
    tokenFile: runningOptions.tokenFile,
    seconds: number("--seconds <n>", "Seconds between two updates", { default: 1, min: 1, max: 3600 }),
    count: number("--count <n>", "Number of updates; 0: until interrupted", { default: 0 }),
  },
  async run(context, { options }) {
    const take = looker(context, options);
    let last: Look | undefined;
    for (let looks = 0; !context.signal.aborted && (options.count === 0 || looks < options.count); looks++) {
      if (looks > 0) await sleep(systemClock, options.seconds * 1000, context.signal);
      if (context.signal.aborted) break;
      const look = await take().catch((error: unknown) => {
        // Nobody there at the first look is a mistake; later it is restarted, or in trouble, and that is what is watched.
        if (looks === 0 || context.signal.aborted) throw error;
        return explain(error);
      });
      const text =
        typeof look === "string"
          ? `${look}\n`
          : screen({ ...look, rates: last && ratesOf(last, look), inColour: inColour(context) });
      const size = context.terminalSize?.();
      const shown = size === undefined || size.rows < 2 ? text : fitting(text, size);
      context.drawn(
        context.isOutputTerminal === true && context.env["TERM"] !== "dumb"
          ? `${clearScreen}${shown}`
          : `${text}\n`,
      );
      last = typeof look === "string" ? undefined : look;
    }
    return last === undefined && !context.signal.aborted ? 1 : 0;
  },
});

/** It asks no database: a gateway that takes longer hangs, and what `top` shows meanwhile is old. */
const answerMs = 5_000;

function looker(context: Context, which: WhichGateway): () => Promise<Look> {
  const client = clientOf(context, which, answerMs);
  return async () => {
    const stats = shownStats.parse(await client.request("GET", "/stats"));
    return { atMs: performance.now(), stats };
  };
}

function ratesOf(before: Look, now: Look): Rates {
  const seconds = (now.atMs - before.atMs) / 1000;
  const delivered = Object.entries(now.stats.sinks).map(([name, sink]) => [
    name,
    (sink.delivered - (before.stats.sinks[name]?.delivered ?? sink.delivered)) / seconds,
  ]);
  return {
    received: (now.stats.ingest.received - before.stats.ingest.received) / seconds,
    delivered: Object.fromEntries(delivered),
  };
}

function inColour({ env, isOutputTerminal }: Context): boolean {
  return isOutputTerminal === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}
