/**
 * The guard: who has access. One of two ways always applies (httpMistakes in server.ts makes sure of it):
 *
 * - no token, and a listener on loopback: everybody on this host has access. A browser on this host may act for
 *   others, though: a page from elsewhere can reach 127.0.0.1 by a name that resolves to it (DNS rebinding, seen in
 *   Host) or by a plain cross-site request (seen in Origin and Sec-Fetch-Site). Both are refused on every path.
 * - a token: /admin requires it as `Authorization: Bearer` (RFC 6750), compared in constant time, with limited tries;
 *   or a session that was opened with it (sessions.ts). /devices, which only reads, also takes READ_TOKEN.
 */
import type { Context, MiddlewareHandler } from "hono";
import type { Attempts } from "../core/net/attempts.ts";
import type { Warn } from "../core/log/throttled-warn.ts";
import { isLoopback } from "../core/net/listen.ts";
import { problem } from "./problem.ts";
import type { Sessions } from "./sessions.ts";
import { tokenCheck, tooManyWrong } from "./token-check.ts";

export interface HttpEnv {
  Bindings: {
    /** The peer's address; behind a reverse proxy, the proxy's. */
    readonly clientAddress: string;
  };
}

export function onlyThisHost(): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    // Browsers and HTTP/1.1 always send Host; a request of HTTP/1.0 without it names no other host.
    const host = c.req.header("host") ?? "localhost";
    const origin = c.req.header("origin");
    const site = c.req.header("sec-fetch-site") ?? "none";
    if (!isLoopback(host.replace(/:\d+$/, ""))) {
      return problem(
        403,
        "Without ADMIN_TOKEN only requests to localhost, 127.0.0.1 or [::1] are answered: use one of these names, or set ADMIN_TOKEN.",
      );
    }
    const foreign = origin !== undefined && origin !== `http://${host}`;
    if (foreign || !["none", "same-origin"].includes(site)) {
      return problem(403, "Without ADMIN_TOKEN requests from other web pages are not answered.");
    }
    return next();
  };
}

export interface Guard {
  /** Name → token; each of them will do. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Sessions of the page, which count as the token for requests that come from the page. */
  readonly sessions: Sessions | undefined;
  readonly attempts: Attempts;
  readonly warn: Warn;
}

/** Does the request show one of the tokens, as `Authorization: Bearer`? undefined: it shows none. */
export function tokenBearer(
  tokens: readonly string[],
): (authorization: string | null | undefined) => boolean | undefined {
  const isToken = tokenCheck(tokens);
  return (authorization) => {
    const given = /^bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    return given === undefined ? undefined : isToken(given);
  };
}

export function bearer({ tokens, sessions, attempts, warn }: Guard): MiddlewareHandler<HttpEnv> {
  const holds = tokenBearer(Object.values(tokens));
  const names = Object.keys(tokens).join(" or ");
  return async (c, next) => {
    const client = c.env.clientAddress;
    const isRight = holds(c.req.header("authorization"));
    // The right token is checked first: wrong tokens from a neighbour behind the same address must not lock its owner
    // out.
    if (isRight === true) return next();
    if (isRight === undefined && sessions?.has(c.req.header("cookie")) === true) {
      if (c.req.method === "GET" || isOurPage(c)) return next();
      return problem(
        403,
        "A change that comes with a session must come from this gateway's own page; a proxy in front must pass the browser's Host on, with its port (nginx: proxy_set_header Host $http_host).",
      );
    }
    const waitMs = attempts.waitMs(client);
    if (isRight === false) {
      attempts.wrong(client);
      warn({ remote: client }, `wrong ${names}`);
    }
    if (waitMs > 0) return tooManyWrong(waitMs);
    return problem(401, `This needs the header \`Authorization: Bearer <${names}>\`.`, {
      headers: { "www-authenticate": 'Bearer realm="sluice"' },
    });
  };
}

/**
 * A browser itself says whose page asks, but only over TLS and on loopback. Else the host must be the page's; behind a proxy with TLS
 * the scheme is not.
 */
function isOurPage({ req }: Context<HttpEnv>): boolean {
  const site = req.header("sec-fetch-site");
  if (site !== undefined) return site === "same-origin";
  const origin = req.header("origin");
  const host = URL.canParse(origin ?? "") ? new URL(origin ?? "").host : undefined;
  return host === req.header("host");
}
