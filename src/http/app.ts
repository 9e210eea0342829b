/**
 * The HTTP surface: a Hono app over a view of the gateway. Each area's routes are in a file of their own; what
 * applies to all of them (who has access, sizes, headers, the form of an error) is here.
 */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { compress } from "hono/compress";
import { HTTPException } from "hono/http-exception";
import { methodNotAllowed } from "hono/method-not-allowed";
import { secureHeaders } from "hono/secure-headers";
import type { Clock } from "../core/clock.ts";
import { explain, type Log } from "../core/log/log.ts";
import { activityEndpoints } from "./activity-endpoints.ts";
import { asideEndpoint } from "./set-aside-endpoint.ts";
import { type Attempts, createAttempts } from "../core/net/attempts.ts";
import { throttledWarn } from "../core/log/throttled-warn.ts";
import type { AuditLog } from "./audit.ts";
import { bulkEndpoints, importPath } from "./bulk-endpoints.ts";
import { cacheEndpoints, invalidatePath } from "./cache-endpoints.ts";
import { RegistryError } from "../admin/registry-error.ts";
import { deadLetterSpec } from "../admin/review/dead-letter-rows.ts";
import { deviceEndpoints } from "./device-endpoints.ts";
import { docEndpoints, docsPolicy } from "./docs.ts";
import { latestEndpoints, latestPath } from "./latest-endpoints.ts";
import { mount } from "./endpoint.ts";
import { bearer, type HttpEnv, onlyThisHost, tokenBearer } from "./guard.ts";
import { liveEndpoints } from "./live.ts";
import { loginEndpoints } from "./login.ts";
import { pageEndpoints, pagePolicy } from "./page.ts";
import { problem } from "./problem.ts";
import { quarantineSpec } from "../admin/review/quarantine-rows.ts";
import { reviewEndpoints } from "./review-endpoints.ts";
import { rejectEndpoints } from "./reject-endpoints.ts";
import { createSessions } from "./sessions.ts";
import { createStreams } from "./streams.ts";
import { settingEndpoints } from "./setting-endpoints.ts";
import { statusEndpoints } from "./status-endpoints.ts";
import type { GatewayView } from "../admin/views.ts";

const bodyBytesMax = 65_536;
/** Of a list of a thousand devices, which may be named by UUIDs. */
const listBytesMax = 1_048_576;
/** Of a path that is none: to mask one of 16 KB, which anybody may ask for, takes the thread up to 0.1 s. */
const pathCharsShown = 200;
const listPaths: ReadonlySet<string> = new Set([latestPath, invalidatePath]);

export interface AppOptions {
  readonly view: GatewayView;
  /** undefined if /admin is open, to this host only. */
  readonly adminToken: string | undefined;
  /** undefined: /devices is open as /admin is. */
  readonly readToken?: string | undefined;
  /** Counts wrong tokens per address; given if other parts show the count. */
  readonly attempts?: Attempts;
  /** Are these tokens still those of the settings? Absent: they do not change. */
  readonly isInForce?: () => boolean;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Log;
}

export function createApp(options: AppOptions): Hono<HttpEnv> {
  const { view, adminToken, readToken, audit, clock, log, attempts = createAttempts(clock) } = options;
  const { isInForce = () => true } = options;
  const warn = throttledWarn(log, clock);
  const app = new Hono<HttpEnv>();
  for (const path of ["/", "/page.js", "/page.css", "/docs"]) app.use(path, compress());
  app.use("/docs", async (c, next) => {
    await next();
    c.header("content-security-policy", docsPolicy);
  });
  app.use("/", async (c, next) => {
    await next();
    c.header("content-security-policy", pagePolicy);
  });
  app.use(
    secureHeaders({ strictTransportSecurity: false, contentSecurityPolicy: { defaultSrc: ["'none'"] } }),
  );
  app.use(async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
  });
  const admin = adminToken === undefined ? {} : { ADMIN_TOKEN: adminToken };
  const read = readToken === undefined ? admin : { READ_TOKEN: readToken, ...admin };
  if (adminToken === undefined) app.use(onlyThisHost());
  const sessions = adminToken === undefined ? undefined : createSessions(adminToken, clock);
  if (adminToken !== undefined) app.use("/admin/*", bearer({ tokens: admin, sessions, attempts, warn }));
  if (Object.keys(read).length > 0)
    for (const path of ["/devices", "/devices/*"])
      app.use(path, bearer({ tokens: read, sessions, attempts, warn }));
  const holds = tokenBearer(Object.values(read));
  const isKnown = ({ headers }: Request) =>
    sessions === undefined ||
    holds(headers.get("authorization")) === true ||
    sessions.has(headers.get("cookie") ?? undefined);
  const limit = limitOf(bodyBytesMax);
  const listLimit = limitOf(listBytesMax);
  app.use((c, next) => {
    if (c.req.path === importPath) return next();
    return listPaths.has(c.req.path) ? listLimit(c, next) : limit(c, next);
  });
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        problem(405, `${c.req.method} is not allowed here; allowed: ${methods.join(", ")}.`, {
          headers: { allow: methods.join(", ") },
        }),
    }),
  );
  const endpoints = [
    ...pageEndpoints,
    ...loginEndpoints(sessions, attempts, warn),
    ...statusEndpoints(view),
    ...liveEndpoints(view, clock, createStreams(clock, { isKnown, isInForce })),
    ...cacheEndpoints(view.cache),
    ...bulkEndpoints(view.devices),
    ...activityEndpoints(view.heard),
    ...deviceEndpoints(view.devices),
    ...latestEndpoints(view.latest),
    ...settingEndpoints(view.settings),
    ...rejectEndpoints(view.rejects),
    ...reviewEndpoints(deadLetterSpec, view.deadLetters),
    asideEndpoint(view.setAside),
    ...reviewEndpoints(quarantineSpec, view.quarantine),
  ];
  mount(app, [...endpoints, ...docEndpoints(endpoints, () => view.stats().version)], audit);
  app.notFound((c) =>
    problem(404, `There is nothing at ${c.req.path.slice(0, pathCharsShown)}; /docs lists all paths.`),
  );
  app.onError((error, c) => {
    if (error instanceof HTTPException) return problem(error.status, error.message);
    if (error instanceof RegistryError) {
      // A page that stays open asks every ten seconds, and what somebody changes is in the audit log.
      warn(
        { path: c.req.path, error: explain(error) },
        "the registry did not carry out a request made over HTTP",
      );
      // For who made a token: whether it may be in force.
      return problem(error.status, error.message, error.isUndone ? { members: { done: false } } : {});
    }
    // Not logged: a client that cuts its request off knows that it did, and may do so a thousand times.
    if (c.req.raw.signal.aborted) return problem(400, "The request ended before all of it had arrived.");
    warn(
      { method: c.req.method, path: c.req.path },
      `an HTTP request ended with an unexpected error: ${explain(error)}`,
    );
    return problem(500, "An unexpected error inside the gateway; its log says what happened.");
  });
  return app;
}

function limitOf(maxSize: number) {
  return bodyLimit({ maxSize, onError: () => problem(413, `At most ${maxSize} bytes.`) });
}
