/**
 * Sessions: the page's login. ADMIN_TOKEN is exchanged for a session, so that no script in a browser ever holds it.
 *
 * The cookie is HttpOnly and SameSite=Strict and has 256 random bits; only its hash is kept here. Sessions are few;
 * they end after half a day, at a logout, at a restart, and with the token that opened them. A change that comes with
 * a session must come from our own page (Origin, Sec-Fetch-Site), because SameSite does not tell the ports of this
 * host apart.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { hashOf } from "../core/token.ts";
import { tokenCheck } from "./token-check.ts";

export interface Sessions {
  /** @returns the value for Set-Cookie; undefined if it is not the token */
  open(token: string, isSecure: boolean): string | undefined;
  /** True if the sender of this cookie header has logged in. */
  has(cookies: string | undefined): boolean;
  /** @returns the value for Set-Cookie */
  close(cookies: string | undefined): string;
}

const lastsMs = 12 * 3_600_000;
/** Beyond this many the oldest session ends. */
const sessionsMax = 50;

export function createSessions(adminToken: string, clock: Clock): Sessions {
  const isToken = tokenCheck([adminToken]);
  // A browser tells the ports of a host apart no more than SameSite does: a login at one gateway would end that at another.
  const name = `sluice_session_${randomBytes(4).toString("hex")}`;
  /** Hash of the cookie → when it ends, oldest first. */
  const sessions = new Map<string, number>();

  /** Without a Path it is for that of the page: below one of a proxy another gateway has its own. */
  function cookie(value: string, seconds: number, isSecure: boolean): string {
    return `${name}=${value}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}`;
  }

  function idIn(cookies: string | undefined): string | undefined {
    const value = new RegExp(`(?:^|;\\s*)${name}=([\\w-]{1,64})(?:;|$)`).exec(cookies ?? "")?.[1];
    return value === undefined ? undefined : hashOf(value);
  }

  return {
    open(token, isSecure) {
      if (!isToken(token)) return undefined;
      const [oldest] = sessions.keys();
      if (sessions.size >= sessionsMax && oldest !== undefined) sessions.delete(oldest);
      const value = randomBytes(32).toString("base64url");
      sessions.set(hashOf(value), clock.monoMs() + lastsMs);
      return cookie(value, lastsMs / 1000, isSecure);
    },
    has(cookies) {
      const id = idIn(cookies);
      const endsMs = id === undefined ? undefined : sessions.get(id);
      if (id === undefined || endsMs === undefined) return false;
      if (clock.monoMs() < endsMs) return true;
      sessions.delete(id);
      return false;
    },
    close(cookies) {
      const id = idIn(cookies);
      if (id !== undefined) sessions.delete(id);
      return cookie("", 0, false);
    },
  };
}
