/**
 * One request to InfluxDB, with a deadline, a bound on the answer and no redirects (which would carry the token elsewhere).
 */
import type { Clock } from "../../core/clock.ts";
import { explain } from "../../core/log/log.ts";
import { proxyVariable } from "../../core/net/proxies.ts";
import { Outage } from "../../core/outage.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface InfluxRequest {
  readonly method: "GET" | "POST";
  /** Path and query, below the base URL. */
  readonly path: string;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface InfluxAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/**
 * There was no answer in time, or the connection was reset, as some proxies do rather than answer 413: the body may be too
 * large for the network between.
 */
export class NoAnswer extends Outage {}

/** @throws {Outage} if there is no answer; a `NoAnswer` if a smaller body may get one. */
export type Http = (request: InfluxRequest) => Promise<InfluxAnswer>;

interface Options {
  /** Without a trailing slash. */
  readonly base: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly fetch: Fetch;
}

/** What a trouble names, whether there was an answer or not. */
export function placeOf(base: string): string {
  const variable = proxyVariable(base);
  return `InfluxDB at ${base}${variable === undefined ? "" : ` through the proxy that ${variable} names`}`;
}

/** Longer answers are cut. One that lists every line of a full batch as refused fits. */
const answerBytesMax = 8_000_000;

export function createHttp(options: Options): Http {
  const ask = asking(options);
  return async (request) => {
    const answer = await ask(request);
    const onward = answer.status >= 300 && answer.status < 400 ? answer.headers.get("location") : null;
    if (onward !== null) throw redirected(options.base, answer.status, onward);
    return answer;
  };
}

/** Whatever was asked: of a write, a list and a ping it is the same mistake. */
function redirected(base: string, status: number, onward: string): Outage {
  const { origin, pathname } = URL.parse(onward, base) ?? { origin: "", pathname: onward };
  const why = `HTTP ${status}: it redirects to ${origin}${pathname}, where no token is sent (set INFLUXDB_URL to where InfluxDB itself answers)`;
  return new Outage(`${placeOf(base)}: ${why}`, { retryAfterMs: 30_000, alarm: true });
}

function asking({ base, timeoutMs, clock, fetch }: Options): Http {
  return async ({ method, path, body, headers = {}, signal }) => {
    signal?.throwIfAborted();
    const stop = new AbortController();
    const forward = () => stop.abort(signal?.reason);
    signal?.addEventListener("abort", forward);
    let isLate = false;
    const timer = clock.after(timeoutMs, () => {
      isLate = true;
      stop.abort(new Error(`no answer within ${timeoutMs} ms`));
    });
    try {
      const response = await fetch(base + path, {
        method,
        headers,
        signal: stop.signal,
        redirect: "manual",
        ...(body === undefined ? {} : { body }),
      });
      return { status: response.status, headers: response.headers, text: await readText(response) };
    } catch (cause) {
      const why = stop.signal.aborted ? explain(stop.signal.reason) : explain(cause);
      const Kind = isLate || isBrokenOff(cause) ? NoAnswer : Outage;
      throw new Kind(`${placeOf(base)}: ${why}`);
    } finally {
      timer.cancel();
      signal?.removeEventListener("abort", forward);
    }
  };
}

const isBrokenOff = (cause: unknown) =>
  ["ECONNRESET", "EPIPE"].includes((cause as NodeJS.ErrnoException).code ?? "");

async function readText(response: Response): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > answerBytesMax) break;
  }
  return text;
}
