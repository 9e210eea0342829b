/**
 * GET /healthz (does the process answer?), /readyz (can every part do its work?), /stats (the books), /metrics (the
 * same for Prometheus).
 */
import { parseAccept } from "hono/utils/accept";
import { z } from "zod";
import { maskedIn } from "../core/text/mask.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { metricsText, openMetricsMedia, textMedia } from "./metrics-text.ts";
import { problem } from "./problem.ts";
import { readySchema } from "./schemas.ts";
import { statsSchema } from "./stats-schema.ts";
import type { GatewayView } from "../admin/views.ts";

const reasonSchema = z.object({ code: z.string(), stage: z.string(), help: z.string(), remedy: z.string() });

export function statusEndpoints(view: GatewayView): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/healthz",
      id: "status.health",
      summary: "Whether the process answers",
      answer: { help: "It does.", schema: z.object({ status: z.literal("ok") }) },
      handle: () => ({ status: "ok" as const }),
    }),
    endpoint({
      method: "GET",
      path: "/readyz",
      id: "status.ready",
      summary: "Whether every part can do its work",
      answer: { help: "Every part can.", schema: readySchema },
      problems: [503],
      handle() {
        const parts = maskedIn(view.ready());
        const unready = parts.filter((part) => !part.ok);
        if (unready.length === 0) return { status: "ready" as const, parts };
        const reasons = unready.map(({ part, detail }) => `${part}: ${detail}`).join("; ");
        return problem(503, reasons, { members: { parts } });
      },
    }),
    endpoint({
      method: "GET",
      path: "/stats",
      id: "status.stats",
      summary: "The books and the state of every part",
      answer: {
        help: "Counters since the first start, across restarts.",
        // For the document alone, and the largest of all.
        get schema() {
          return statsSchema(view.counted);
        },
      },
      handle: () => maskedIn(view.stats()),
    }),
    endpoint({
      method: "GET",
      path: "/reasons",
      id: "status.reasons",
      summary: "Why messages are rejected, and the cure",
      answer: { help: "All there are.", schema: z.object({ reasons: z.array(reasonSchema).readonly() }) },
      handle: () => ({ reasons: view.reasons }),
    }),
    endpoint({
      method: "GET",
      path: "/metrics",
      id: "status.metrics",
      summary: "The same for Prometheus",
      answer: {
        help: "Text format 0.0.4; OpenMetrics 1.0 if Accept names it.",
        media: ["text/plain", "application/openmetrics-text"],
      },
      handle({ request }) {
        const accepted = parseAccept(request.headers.get("accept") ?? "");
        const isOpen = accepted.some(({ type, q }) => type === "application/openmetrics-text" && q > 0);
        return new Response(metricsText(maskedIn(view.measurements()), isOpen), {
          headers: { "content-type": isOpen ? openMetricsMedia : textMedia },
        });
      },
    }),
  ];
}
