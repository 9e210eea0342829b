/**
 * Server-Sent Events (HTML, 9.2): who may have a stream open, and what waits for its reader.
 *
 * /live needs no token, so strangers could take every stream: they have a share, per address and together, and the rest is kept for whoever
 * has logged in or shows a token. A stream lasts as long as the right to it: that is asked anew at each event, rather than told by logout,
 * expiry and renewal, of which one would be forgotten. A reader that does not keep up is ended, not buffered.
 */
import type { Clock } from "../core/clock.ts";
import { maskedIn } from "../core/text/mask.ts";
import { printable } from "../core/text/terminal.ts";
import { problem } from "./problem.ts";

const streamsMax = 50;
/** Of those, for whoever shows neither a session nor a token. */
const strangersMax = 40;
const strangersPerAddressMax = 10;
/** What may wait for a reader; a second of /admin/follow is less. */
const waitingCharsMax = 384 * 1024;
/** All that wait for readers: a character is a byte or two. */
export const streamsBytesMax = streamsMax * waitingCharsMax * 2;
/** Less than the time after which a silent connection is closed (server.ts). */
const aliveEveryMs = 10_000;
const comment = ": alive\n\n";

export interface Reader {
  readonly request: Request;
  /** The peer's address. */
  readonly client: string;
}

/** Sends events of one name, together. */
export type Send = (event: string, ...data: readonly unknown[]) => void;

export interface StreamRights {
  /** Has this request logged in, or does it show a token? */
  isKnown(request: Request): boolean;
  /** The tokens were not renewed. */
  isInForce(): boolean;
}

/**
 * @returns opens a stream. `begin` starts to send; it returns a function that ends that, or undefined if too many streams of this kind
 * are open
 */
export function createStreams(clock: Clock, rights: StreamRights) {
  let known = 0;
  /** Address → streams of strangers. */
  const strangers = new Map<string, number>();

  const strangersOpen = () => strangers.values().reduce((sum, n) => sum + n, 0);

  function whyNot(isKnown: boolean, client: string): string | undefined {
    if (known + strangersOpen() >= streamsMax) return "Too many live streams are open.";
    if (isKnown) return undefined;
    if (strangersOpen() >= strangersMax) return "Too many live streams are open without a login.";
    if ((strangers.get(client) ?? 0) < strangersPerAddressMax) return undefined;
    return "Too many live streams are open from this address without a login.";
  }

  function count(isKnown: boolean, client: string, by: 1 | -1): void {
    if (isKnown) return void (known += by);
    const left = (strangers.get(client) ?? 0) + by;
    if (left === 0) strangers.delete(client);
    else strangers.set(client, left);
  }

  return function stream(
    { request, client }: Reader,
    begin: (send: Send) => (() => void) | undefined,
  ): Response {
    // Whose body nobody reads, nor ends.
    if (request.method === "HEAD") return new Response(null, { headers });
    const isKnown = rights.isKnown(request);
    const full = whyNot(isKnown, client);
    if (full !== undefined) return problem(503, full, retryLater);
    const isStillAllowed = () => rights.isInForce() && (!isKnown || rights.isKnown(request));
    let end: (() => void) | undefined;
    let isOver = false;
    const body = new ReadableStream<string>(
      {
        start(controller) {
          const write = (text: string) => {
            // Who sends may be in the middle of a group that was too much for the reader.
            if (isOver) return;
            if (text.length <= (controller.desiredSize ?? 0) && isStillAllowed())
              return controller.enqueue(text);
            stop();
            controller.close();
          };
          const ended = begin((event, ...data) => write(data.map((each) => eventText(event, each)).join("")));
          if (ended === undefined) return;
          // More than may wait was to be sent first.
          if (isOver) return ended();
          // Otherwise the head is not sent, and the connection is closed while there is nothing to send.
          write(comment);
          const alive = clock.every(aliveEveryMs, () => write(comment));
          count(isKnown, client, 1);
          end = () => {
            count(isKnown, client, -1);
            alive.cancel();
            ended();
          };
        },
        cancel: stop,
      },
      { highWaterMark: waitingCharsMax, size: (text = "") => text.length },
    );
    if (end === undefined)
      return problem(503, isOver ? tooMuch : "Too many streams already follow devices.", retryLater);
    function stop(): void {
      isOver = true;
      end?.();
      end = undefined;
    }
    request.signal.addEventListener("abort", stop);
    return new Response(body, { headers });
  };
}

/** nginx would keep what is sent until 8 KiB are together: of one device that takes minutes. */
const headers = { "content-type": "text/event-stream", "x-accel-buffering": "no" };
const tooMuch = "There is more to show than a stream may hold; GET /stats has all of it.";
const retryLater = { headers: { "retry-after": "10" } };

function eventText(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${printable(JSON.stringify(maskedIn(data)))}\n\n`;
}
