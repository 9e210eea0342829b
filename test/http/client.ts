/** Sends requests to an app as a script would, without a listener. */
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { createApp } from "../../src/http/app.ts";
import type { AuditLog } from "../../src/http/audit.ts";
import type { GatewayView } from "../../src/admin/views.ts";

export interface Reply {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
  /** undefined if it is not JSON. */
  readonly json: unknown;
}

export function asker(view: GatewayView, audit: AuditLog = () => {}) {
  const app = createApp({ view, adminToken: undefined, audit, clock: systemClock, log: silentLog });
  return async (
    method: string,
    path: string,
    body?: unknown,
    contentType = "application/json",
  ): Promise<Reply> => {
    const request = new Request(`http://localhost:8080${path}`, {
      method,
      headers: { host: "localhost:8080", "content-type": contentType },
      ...(body !== undefined && {
        body: typeof body === "string" || body instanceof Buffer ? body : JSON.stringify(body),
      }),
    });
    const response = await app.fetch(request, { clientAddress: "127.0.0.1" });
    const text = await response.text();
    const type = response.headers.get("content-type");
    return {
      status: response.status,
      type,
      text,
      json: /^application\/(problem\+)?json/.test(type ?? "") ? JSON.parse(text) : undefined,
    };
  };
}
