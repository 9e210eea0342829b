/** The page's session: who gets one, what it is good for, when it ends. */
import { describe, expect, test } from "bun:test";
import { createApp } from "../../src/http/app.ts";
import { createSessions } from "../../src/http/sessions.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { simulatedClock } from "../kit/clock.ts";
import { fakeView } from "../kit/view.ts";

const token = "a-token-of-some-length";

describe("sessions", () => {
  const cookieOf = (header = "") => header.split(";")[0] ?? "";

  test("only the token opens one; the cookie holds no token, and is for HTTP and our own site alone", () => {
    const sessions = createSessions(token, simulatedClock());
    expect(sessions.open("another-token-of-length", false)).toBeUndefined();
    const header = sessions.open(token, true) ?? "";
    expect(header).toMatch(
      /^sluice_session_\w{8}=[\w-]{43}; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/,
    );
    expect(sessions.has(cookieOf(header))).toBe(true);
    expect(sessions.has(`other=1; ${cookieOf(header)}; more=2`)).toBe(true);
    const [name] = header.split("=");
    for (const wrong of [undefined, "", `${name}=`, `${name}=made-up`, `x${cookieOf(header)}`])
      expect(sessions.has(wrong)).toBe(false);
    // A browser has the cookies of a host's every port in one place.
    const other = createSessions("quite-another-token-here", simulatedClock());
    const theirs = other.open("quite-another-token-here", false) ?? "";
    expect(theirs.split("=")[0]).not.toBe(name);
    expect(sessions.has(`${cookieOf(theirs)}; ${cookieOf(header)}`)).toBe(true);
  });

  test("they end by time, by a logout, and by number: the oldest ends first", () => {
    const clock = simulatedClock();
    const sessions = createSessions(token, clock);
    const cookies = Array.from({ length: 51 }, () => cookieOf(sessions.open(token, false)));
    expect(cookies.map(sessions.has)).toEqual([false, ...Array<boolean>(50).fill(true)]);
    expect(sessions.close(cookies[1])).toContain("Max-Age=0");
    expect(sessions.has(cookies[1])).toBe(false);
    clock.advance(12 * 3_600_000);
    expect(sessions.has(cookies[50])).toBe(false);
  });

  test("a changed token ends them all, and a change needs a request from our own page", async () => {
    const { view } = fakeView();
    const app = (adminToken: string) =>
      createApp({ view, adminToken, audit: () => {}, clock: simulatedClock(), log: silentLog });
    const [first, second] = [app(token), app("quite-another-token-here")];
    const ask = (
      to: typeof first,
      path: string,
      headers: Record<string, string>,
      body?: object,
    ): Promise<Response> | Response =>
      to.fetch(
        new Request(`http://gateway:8080${path}`, {
          method: body === undefined ? "GET" : "POST",
          headers: { host: "gateway:8080", ...headers },
          ...(body && { body: JSON.stringify(body) }),
        }),
        { clientAddress: "10.0.0.7" },
      );
    const login = await ask(first, "/login", {}, { token });
    expect(login.status).toBe(200);
    const cookie = cookieOf(login.headers.get("set-cookie") ?? "");
    const clear = (to: typeof first, headers: Record<string, string>) =>
      ask(to, "/admin/cache/clear", { cookie, ...headers }, {});
    const saysOf = async (to: typeof first) => (await ask(to, "/login", { cookie })).json();
    expect([await saysOf(first), await saysOf(second)]).toEqual([{ logged_in: true }, { logged_in: false }]);
    expect((await ask(first, "/admin/cache/stats", { cookie })).status).toBe(200);
    expect((await ask(second, "/admin/cache/stats", { cookie })).status).toBe(401);
    expect((await clear(first, {})).status).toBe(403);
    expect((await clear(first, { origin: "http://gateway:9000" })).status).toBe(403);
    expect(
      (await clear(first, { origin: "http://gateway:8080", "sec-fetch-site": "cross-site" })).status,
    ).toBe(403);
    expect(
      (await clear(first, { origin: "http://gateway:8080", "sec-fetch-site": "same-origin" })).status,
    ).toBe(200);
    // Behind a proxy with TLS.
    expect((await clear(first, { origin: "https://gateway:8080" })).status).toBe(200);
    // Behind one that names the gateway as it knows it: there the browser's word counts, and without that its Host must be passed on.
    const behind = { origin: "https://site.example" };
    expect((await clear(first, { ...behind, "sec-fetch-site": "same-origin" })).status).toBe(200);
    expect((await clear(first, { ...behind, "sec-fetch-site": "same-site" })).status).toBe(403);
    expect(await (await clear(first, behind)).text()).toContain("proxy_set_header Host $http_host");
  });

  test("wrong tokens are limited by address, as everywhere", async () => {
    const { view } = fakeView();
    const app = createApp({
      view,
      adminToken: token,
      audit: () => {},
      clock: simulatedClock(),
      log: silentLog,
    });
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) {
      const body = JSON.stringify({ token: "wrong" });
      const request = new Request("http://gateway:8080/login", { method: "POST", body });
      statuses.push((await app.fetch(request, { clientAddress: "10.0.0.7" })).status);
    }
    expect(statuses[0]).toBe(401);
    expect(statuses.at(-1)).toBe(429);
  });

  test("the audit log has who logged in and out, and nothing of strangers, who could push all else out of it", async () => {
    const { view } = fakeView();
    const audited: Record<string, unknown>[] = [];
    const audit = (line: Record<string, unknown>) => void audited.push(line);
    const app = createApp({ view, adminToken: token, audit, clock: simulatedClock(), log: silentLog });
    const post = (path: string, body: string, cookie = "") =>
      app.fetch(new Request(`http://gateway:8080${path}`, { method: "POST", body, headers: { cookie } }), {
        clientAddress: "10.0.0.7",
      });
    for (const body of [JSON.stringify({ token: "wrong" }), "{}", "no JSON"]) await post("/login", body);
    await post("/logout", "");
    await post("/logout", "", "sluice_session=made-up");
    expect(audited).toEqual([]);
    const login = await post("/login", JSON.stringify({ token }));
    await post("/logout", "", cookieOf(login.headers.get("set-cookie") ?? ""));
    expect(audited).toEqual([
      { from: "10.0.0.7", action: "session.login", status: 200 },
      { from: "10.0.0.7", action: "session.logout", status: 200 },
    ]);
  });
});
