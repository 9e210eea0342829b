/** /login and /logout: exchange ADMIN_TOKEN for a session, say whether there is one, and end it. */
import { z } from "zod";
import type { Attempts } from "../core/net/attempts.ts";
import type { Warn } from "../core/log/throttled-warn.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import type { Sessions } from "./sessions.ts";
import { tooManyWrong } from "./token-check.ts";

const bodyOf = z.strictObject({ token: z.string().max(4_096).describe("ADMIN_TOKEN.") });
const done = z.object({ status: z.enum(["logged in", "logged out"]) });
const state = z.object({
  logged_in: z.boolean().describe("Whether the request's cookie is that of a session."),
});
type Done = z.infer<typeof done>;

/** @param sessions undefined if there is no ADMIN_TOKEN, and so no login */
export function loginEndpoints(
  sessions: Sessions | undefined,
  attempts: Attempts,
  warn: Warn,
): readonly Endpoint[] {
  return [
    endpoint({
      method: "POST",
      path: "/login",
      id: "session.login",
      summary: "Exchange ADMIN_TOKEN for a session cookie of the page",
      body: bodyOf,
      answer: { help: "The cookie is set.", schema: done },
      problems: [401, 403, 429],
      handle({ body, request, client, note }) {
        if (sessions === undefined) return problem(403, "There is no ADMIN_TOKEN: this host needs no login.");
        const cookie = sessions.open(body.token, request.headers.get("x-forwarded-proto") === "https");
        if (cookie !== undefined) {
          note({});
          return withCookie({ status: "logged in" }, cookie);
        }
        const waitMs = attempts.waitMs(client);
        attempts.wrong(client);
        warn({ remote: client }, "wrong ADMIN_TOKEN");
        if (waitMs === 0) return problem(401, "This is not the ADMIN_TOKEN.");
        return tooManyWrong(waitMs);
      },
    }),
    endpoint({
      method: "GET",
      path: "/login",
      id: "session.state",
      summary: "Whether the page has a session, which its script cannot see",
      answer: { help: "Without ADMIN_TOKEN there is none.", schema: state },
      handle: ({ request }) => ({
        logged_in: sessions?.has(request.headers.get("cookie") ?? undefined) === true,
      }),
    }),
    endpoint({
      method: "POST",
      path: "/logout",
      id: "session.logout",
      summary: "End the session of the page",
      answer: { help: "The cookie is removed.", schema: done },
      handle({ request, note }) {
        const cookies = request.headers.get("cookie") ?? undefined;
        if (sessions?.has(cookies) === true) note({});
        return withCookie({ status: "logged out" }, sessions?.close(cookies) ?? "");
      },
    }),
  ];
}

function withCookie(answer: Done, cookie: string): Response {
  return Response.json(answer, { headers: cookie === "" ? {} : { "set-cookie": cookie } });
}
