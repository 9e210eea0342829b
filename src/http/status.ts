/** GET /healthz (does the process answer), /readyz (can every part do its work), /stats (the books), /metrics (the same for Prometheus). */
import { Hono } from "hono";
import type { HttpEnv } from "./guard.ts";
import { metricsText } from "./metrics.ts";
import { problem } from "./problem.ts";
import type { GatewayView } from "./view.ts";

export function statusRoutes(view: GatewayView): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .get("/healthz", (c) => c.json({ status: "ok" }))
    .get("/readyz", (c) => {
      const parts = view.ready();
      const unready = parts.filter((part) => !part.ok);
      if (unready.length === 0) return c.json({ status: "ready", parts });
      const reasons = unready.map(({ part, detail }) => `${part}: ${detail}`).join("; ");
      return problem(503, reasons, { members: { parts } });
    })
    .get("/stats", (c) => c.json(view.stats()))
    .get("/metrics", (c) =>
      c.body(metricsText(view.stats()), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }),
    );
}
