/** /admin/cache: look into the auth cache, empty it, or forget one device. */
import { Hono } from "hono";
import type { HttpEnv } from "./guard.ts";
import { problem } from "./problem.ts";
import type { GatewayView } from "./view.ts";

export function cacheRoutes(cache: GatewayView["cache"]): Hono<HttpEnv> {
  return new Hono<HttpEnv>()
    .get("/stats", (c) => c.json(cache.stats()))
    .post("/clear", (c) => {
      cache.clear();
      return c.json({ status: "cache cleared" });
    })
    .delete("/devices/:tenant/:device", (c) => {
      const { tenant, device } = c.req.param();
      if (!isReadable(c.req.url) || !isLevel(tenant) || !isLevel(device)) {
        return problem(
          400,
          "Tenant and device are each one level of an MQTT topic, percent-encoded: no / + # in them.",
        );
      }
      return c.json({ status: "device forgotten", cached: cache.invalidate(tenant, device) });
    });
}

/** One level of a topic name (MQTT 5 §4.7). */
function isLevel(text: string): boolean {
  return text !== "" && !/[/+#]/.test(text);
}

function isReadable(url: string): boolean {
  try {
    decodeURIComponent(new URL(url).pathname);
    return true;
  } catch {
    return false;
  }
}
