/** The listener in front of the app. */
import { type Attempts, createAttempts } from "../core/net/attempts.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log/log.ts";
import { listenAt, optionalString, string, type Values } from "../core/settings.ts";
import { z } from "zod";
import { cannotListen } from "../core/net/cannot-listen.ts";
import { createApp } from "./app.ts";
import { createAudit, whoHolds } from "./audit.ts";
import { importBytesMax } from "./bulk-endpoints.ts";
import { hostPort, isLoopback, parseListen } from "../core/net/listen.ts";
import type { GatewayView } from "../admin/views.ts";

const tokenPattern = z.string().regex(/^\S{16,}$/, "at least 16 characters without spaces");

export const httpSettings = {
  listen: string({
    name: "HTTP_LISTEN",
    default: "127.0.0.1:8080",
    unit: "host:port",
    help: "Where health, stats and administration are served; beyond loopback it needs ADMIN_TOKEN.",
    check: listenAt("127.0.0.1:8080 or [::1]:8080"),
  }),
  adminToken: optionalString({
    name: "ADMIN_TOKEN",
    secret: true,
    help: "The token that /admin requires as `Authorization: Bearer`; without it, /admin is open to this host only.",
    check: tokenPattern,
  }),
  readToken: optionalString({
    name: "READ_TOKEN",
    secret: true,
    help: "The token that /devices (the latest values) takes besides ADMIN_TOKEN, for consumers on site that may only read.",
    check: tokenPattern,
  }),
};

/** What is wrong with these settings in combination; for config/index.ts. */
export function httpMistakes({ listen, adminToken, readToken }: Values<typeof httpSettings>): string[] {
  if (adminToken !== undefined && adminToken === readToken)
    return [
      "READ_TOKEN is the same as ADMIN_TOKEN, so that who is to read alone may administer: set another",
    ];
  if (adminToken !== undefined || isLoopback(parseListen(listen)?.host ?? "")) return [];
  return [
    `HTTP_LISTEN=${listen}: this address reaches beyond this host, which requires ADMIN_TOKEN; set one (\`openssl rand -hex 24\` prints one), or listen on 127.0.0.1`,
  ];
}

const stopGraceMs = 2_000;

export interface HttpServer {
  /** host:port as bound, in the form of a URL. */
  readonly address: string;
  /** Lets requests finish, within a time bound. */
  stop(): Promise<void>;
}

/** @throws if the address cannot be bound; the message names the setting */
export function startHttpServer(options: {
  settings: Values<typeof httpSettings>;
  view: GatewayView;
  /** The file of the audit log. */
  auditFile: string;
  /** Counts wrong tokens per address; given if other parts show the count. */
  attempts?: Attempts;
  clock: Clock;
  log: Log;
}): HttpServer {
  const { settings, view, auditFile, clock, log, attempts = createAttempts(clock) } = options;
  const { host, port } = parseListen(settings.listen) ?? { host: "127.0.0.1", port: 8080 };
  const appFor = ({ adminToken, readToken }: Pick<typeof settings, "adminToken" | "readToken">) => {
    const audit = createAudit({ file: auditFile, who: whoHolds(adminToken), clock, log });
    const isInForce = () => adminToken === settings.adminToken && readToken === settings.readToken;
    const app = createApp({ view, adminToken, readToken, attempts, isInForce, audit, clock, log });
    return { adminToken, readToken, app };
  };
  let served = appFor(settings);
  /** The app for the tokens of now, which may have been renewed. */
  const app = () => {
    const { adminToken, readToken } = settings;
    if (adminToken !== served.adminToken || readToken !== served.readToken) served = appFor(settings);
    return served.app;
  };
  /** Of the request that came last. */
  let turn = Promise.resolve();
  try {
    const server = Bun.serve({
      hostname: host,
      port,
      // Otherwise Bun would answer an error with a page that shows our source.
      development: false,
      // With reusePort, a second gateway could silently take the same address.
      reusePort: false,
      idleTimeout: 30,
      maxRequestBodySize: importBytesMax * 2,
      async fetch(request, bun) {
        const clientAddress = bun.requestIP(request)?.address ?? "unknown";
        // Bun ends a connection that sends a request before it has its answer; but what is answered at once has none to wait for, and
        // ten connections with a thousand requests for /stats each held the thread for a quarter of a minute. And one at a time: else all
        // that came together are answered before devices have their turn again.
        turn = turn.then(() => new Promise((resolve) => void setImmediate(resolve)));
        await turn;
        // Who has left meanwhile keeps nobody else waiting.
        if (request.signal.aborted) return new Response();
        return app().fetch(absolute(request), { clientAddress });
      },
    });
    return { address: hostPort({ host, port: server.port ?? port }), stop: () => stopServer(server, clock) };
  } catch (cause) {
    throw cannotListen("HTTP_LISTEN", { host, port }, cause);
  }
}

/** For HTTP/1.0 without Host, Bun's URL is only the path, which Hono cannot read. */
function absolute(request: Request): Request {
  return request.url.startsWith("/") ? new Request(`http://localhost${request.url}`, request) : request;
}

async function stopServer(server: Bun.Server<undefined>, clock: Clock): Promise<void> {
  const patience = clock.after(stopGraceMs, () => void server.stop(true));
  await server.stop();
  patience.cancel();
}
