/**
 * What the page shows live, as Server-Sent Events (HTML, 9.2): /live is /stats every second, /admin/follow is one
 * device. The number of streams is bounded, and a stream whose reader does not keep up is ended, not buffered.
 */
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import { maskedIn } from "../core/mask.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import type { GatewayView } from "../admin/views.ts";

const liveEveryMs = 1_000;
/** Less than the time after which a silent connection is closed (server.ts). */
const aliveEveryMs = 10_000;
const comment = ": alive\n\n";
const streamsMax = 50;
/** How many events may wait for a reader. */
const waitingMax = 500;

type Send = (event: string, data: unknown) => void;

export function liveEndpoints(view: GatewayView, clock: Clock): readonly Endpoint[] {
  let open = 0;

  /**
   * @param begin starts to send; it returns a function that ends that, or undefined if too many streams of this kind
   * are open
   */
  function stream(request: Request, begin: (send: Send) => (() => void) | undefined): Response {
    if (open >= streamsMax) return problem(503, "Too many live streams are open.", retryLater);
    let end: (() => void) | undefined;
    let isOver = false;
    const body = new ReadableStream<string>(
      {
        start(controller) {
          const write = (text: string) => {
            // Who sends may be in the middle of a group that was too much for the reader.
            if (isOver) return;
            if ((controller.desiredSize ?? 0) > 0) return controller.enqueue(text);
            stop();
            controller.close();
          };
          const ended = begin((event, data) =>
            write(`event: ${event}\ndata: ${JSON.stringify(maskedIn(data))}\n\n`),
          );
          if (ended === undefined) return;
          // Otherwise the head is not sent, and the connection is closed while there is nothing to send.
          write(comment);
          const alive = clock.every(aliveEveryMs, () => write(comment));
          open += 1;
          end = () => {
            open -= 1;
            alive.cancel();
            ended();
          };
        },
        cancel: stop,
      },
      { highWaterMark: waitingMax },
    );
    if (end === undefined) return problem(503, "Too many streams already follow devices.", retryLater);
    function stop(): void {
      isOver = true;
      end?.();
      end = undefined;
    }
    request.signal.addEventListener("abort", stop);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  return [
    endpoint({
      method: "GET",
      path: "/live",
      id: "status.live",
      summary: "GET /stats every second, as a stream",
      answer: { help: "Server-Sent Events `stats`.", media: ["text/event-stream"] },
      problems: [503],
      handle: ({ request }) =>
        stream(request, (send) => {
          send("stats", view.stats());
          const timer = clock.every(liveEveryMs, () => send("stats", view.stats()));
          return () => timer.cancel();
        }),
    }),
    endpoint({
      method: "GET",
      path: "/history",
      id: "status.history",
      summary: "The last day, one sample per minute",
      answer: { help: "Oldest first. Counts are per minute, not cumulative.", schema: z.object({ samples }) },
      handle: () => ({ samples: view.history() }),
    }),
    endpoint({
      method: "GET",
      path: "/admin/follow",
      id: "devices.follow",
      summary: "What happens to a device's next messages, as a stream",
      query: z.strictObject({
        tenant: z.string().optional().describe("Only of this tenant."),
        device: z.string().optional().describe("Only of this device."),
      }),
      answer: {
        help: "Server-Sent Events `entry` (the message is on disk) and `passed` (a sink has it).",
        media: ["text/event-stream"],
      },
      problems: [503],
      handle: ({ request, query }) =>
        stream(request, (send) =>
          view.follow(
            { tenantId: query.tenant, deviceId: query.device },
            { entry: (entry) => send("entry", entry), passed: (passed) => send("passed", passed) },
          ),
        ),
    }),
  ];
}

const retryLater = { headers: { "retry-after": "10" } };

const percentiles = z.object({ p50: z.number().nullable(), p99: z.number().nullable() });
const counts = z.record(z.string(), z.number());
const samples = z
  .array(
    z.object({
      at: z.string().describe("The end of the minute."),
      accepted: z.number(),
      duplicate: z.number(),
      rejected: counts.describe("By reason."),
      to_disk_ms: percentiles.nullable().describe("null: no message came."),
      to_sink_ms: z.record(z.string(), percentiles.nullable()),
      waiting: counts.describe("Entries waiting per sink, at the end of the minute."),
      spool_bytes: z.number(),
    }),
  )
  .readonly();
