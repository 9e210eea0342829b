/** What the page shows live: /live is /stats every second, /admin/follow is one device or all; and /history for the curves. */
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import { sampleSchema } from "../admin/history.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import type { createStreams } from "./streams.ts";
import type { GatewayView } from "../admin/views.ts";

const liveEveryMs = 1_000;

export function liveEndpoints(
  view: GatewayView,
  clock: Clock,
  stream: ReturnType<typeof createStreams>,
): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/live",
      id: "status.live",
      summary: "GET /stats every second, as a stream",
      answer: { help: "Server-Sent Events `stats`.", media: ["text/event-stream"] },
      problems: [503],
      handle: (reader) =>
        stream(reader, (send) => {
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
      answer: {
        help: "Oldest first. Counts are per minute, not cumulative.",
        schema: z.object({ samples: z.array(sampleSchema).readonly() }),
      },
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
        help: "Server-Sent Events `entry` (the message is on disk: its verdict, the stage of the judge that said so, the mapping that read it), `passed` (a sink has it, or made it a dead letter) and `not_shown` (so many more came in that second than are shown).",
        media: ["text/event-stream"],
      },
      problems: [503],
      handle: ({ query, ...reader }) =>
        stream(reader, (send) =>
          view.follow(
            { tenantId: query.tenant, deviceId: query.device },
            {
              entries: (entries) => send("entry", ...entries),
              passed: (passed) => send("passed", ...passed),
              notShown: (entries) => send("not_shown", { entries }),
            },
          ),
        ),
    }),
  ];
}
