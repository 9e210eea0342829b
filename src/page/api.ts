/** Asking the gateway: JSON over fetch, with the page's session, and problems as errors in the gateway's own words. */
import { useRef, useState } from "hono/jsx/dom";
import { useEffect } from "./effect.ts";
import { createLateness } from "./lateness.ts";
import type { Stats } from "./types.ts";

export const loginPath = "/login";

/** A proxy may have put the page below a path of its own. */
export const fromHere = (path: string): string => `.${path}`;

/** The gateway's answer is that it does not do what it was asked. */
class Refused extends Error {}

/** The gateway wants a login. */
export class LoginNeeded extends Refused {}

/** Nothing that the gateway says tells whether a change is done. */
export class Unsure extends Error {}

/** @param status of what answered and is not the gateway's, but a proxy's, say; undefined: nothing did, or not to its end */
export function noAnswer(mayBeDone: boolean, status?: number): Error {
  // Every browser has words of its own for it, and none of them names the gateway.
  const what = status === undefined ? "the gateway does not answer" : `the gateway answers ${status}`;
  if (mayBeDone) return new Unsure(`${what}, so whether this is done is not known`);
  return status === undefined ? new Error(what) : new Refused(what);
}

/** A button that does nothing for longer is taken for broken. */
const answerMs = 60_000;

/** @returns what is no problem; its body is still to come */
async function answered(method: string, path: string, body?: object): Promise<Response> {
  const response = await fetch(fromHere(path), {
    method,
    signal: AbortSignal.timeout(answerMs),
    ...(body !== undefined && {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  }).catch(() => {
    throw noAnswer(isChange(method, body));
  });
  if (response.ok) return response;
  if (response.status === 401 && path !== loginPath) throw loginNeeded(method);
  const { detail, done } = (await response.json().catch(() => ({}))) as { detail?: string; done?: boolean };
  const mayBeDone = isChange(method, body);
  if (detail === undefined) throw noAnswer(mayBeDone, response.status);
  throw mayBeDone && response.status >= 500 && done !== false ? new Unsure(detail) : new Refused(detail);
}

/** Whether it would be done if the answer is lost. */
function isChange(method: string, body: object = {}): boolean {
  return method !== "GET" && !("dry_run" in body && body.dry_run === true);
}

export async function request<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await answered(method, path, body);
  // The line was cut, or a proxy answers with a page of its own.
  return response.json().catch(() => {
    throw noAnswer(isChange(method, body));
  }) as Promise<T>;
}

/** Why a stream was not opened, of which a browser tells its page nothing. */
export async function whyNoStream(path: string): Promise<string> {
  try {
    const { body, headers } = await answered("GET", path);
    await body?.cancel();
    // A proxy answers with a page of its own, its login say.
    if (headers.get("content-type")?.startsWith("text/event-stream") !== true) throw noAnswer(false);
    return "it could be opened only now.";
  } catch (error) {
    return wordsOf(error);
  }
}

export const loginWords = "Log in first.";

export function loginNeeded(method: string): LoginNeeded {
  // After a session's end, all that is shown is asked for again, and the form for it appears.
  if (method !== "GET") announceSession();
  return new LoginNeeded(loginWords);
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export interface Live {
  readonly stats: Stats;
  readonly before: Stats | undefined;
  readonly atMs: number;
  readonly beforeMs: number;
}

export interface LiveState {
  /** undefined until the first answer. */
  readonly live: Live | undefined;
  /** For how many seconds what is shown is old; undefined while the stream runs. */
  readonly oldSeconds: number | undefined;
}

/** /live, and how old it is. The browser connects again by itself. */
export function useLive(): LiveState {
  const [live, setLive] = useState<Live | undefined>(undefined);
  const [oldSeconds, setOldSeconds] = useState<number | undefined>(undefined);
  useEffect(() => {
    let last: Live | undefined;
    let source: EventSource | undefined;
    let [shownMs, openedMs, saidMs] = [0, 0, 0];
    const lateness = createLateness();
    const show = (stats: Stats) => {
      const now = performance.now();
      saidMs = lateness.saidMs(now, stats.uptime_seconds);
      if (now - (last?.atMs ?? now) > staleMs) backMs = now;
      last = { stats, before: last?.stats, atMs: now, beforeMs: last?.atMs ?? now };
      setLive(last);
      if (now - saidMs <= staleMs) setOldSeconds(undefined);
    };
    const open = () => {
      source?.close();
      lateness.anew();
      openedMs = performance.now();
      const stream = new EventSource(fromHere("/live"));
      source = stream;
      stream.addEventListener("stats", ({ data }: MessageEvent<string>) => show(JSON.parse(data) as Stats));
      stream.addEventListener("error", () => {
        // The browser connects again by itself, and may find another gateway there, or one that was restarted.
        lateness.anew();
        // Refused, as too many streams are open: what it would tell can be asked for.
        if (stream.readyState === EventSource.CLOSED) request<Stats>("GET", "/stats").then(show, () => {});
      });
    };
    // A browser has six connections to the gateway for all its tabs: one that nobody sees leaves them to the others, which would hang.
    const turn = () => {
      if (document.hidden) return source?.close();
      shownMs = performance.now();
      open();
    };
    turn();
    document.addEventListener("visibilitychange", turn);
    const timer = setInterval(() => {
      if (document.hidden) return;
      const ageMs = performance.now() - saidMs;
      const isOld = Math.min(ageMs, performance.now() - shownMs) > staleMs;
      setOldSeconds(isOld ? Math.round(ageMs / 1000) : undefined);
      // The browser does not ask again by itself when it was refused, as too many streams were open, nor on a connection that died without a word.
      const isMute = isOld && performance.now() - openedMs > muteMs;
      if (isMute || source?.readyState === EventSource.CLOSED) open();
    }, 1000);
    return () => {
      document.removeEventListener("visibilitychange", turn);
      source?.close();
      clearInterval(timer);
    };
  }, []);
  return { live, oldSeconds };
}

const staleMs = 3_500;
/** When the gateway was heard again after it had been away. */
let backMs = Number.NEGATIVE_INFINITY;
/** A stream that tells nothing for so long is opened anew. */
const muteMs = 5_000;

/** A number that grows every so often while the page is seen, and `may` (absent: always) allows it. */
export function useTick(everyMs: number, may?: () => boolean): number {
  const [tick, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden && may?.() !== false) setTick((n) => n + 1);
    }, everyMs);
    return () => clearInterval(timer);
  }, []);
  return tick;
}

const sessionChanged = "sluice-session";

/** Everybody who was told to log in asks again, in the other tabs too: the session is the browser's. */
export function announceSession(isLogin = false): void {
  const channel = new BroadcastChannel(sessionChanged);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is a window's
  channel.postMessage(isLogin);
  channel.close();
}

/** @param changed runs at each login and logout, and if somebody was told to log in */
export function useSessionChange(changed: (isLogin: boolean) => void): void {
  useEffect(() => {
    const channel = new BroadcastChannel(sessionChanged);
    channel.addEventListener("message", ({ data }: MessageEvent<boolean>) => changed(data));
    return () => channel.close();
  }, []);
}

/** A number that grows at each login and logout. */
export function useSession(): number {
  const [changes, setChanges] = useState(0);
  useSessionChange(() => setChanges((n) => n + 1));
  return changes;
}

export interface Asked<T> {
  readonly answer: T | undefined;
  readonly error: unknown;
  /** When the last answer came, and how long it took. */
  readonly atMs: number;
  readonly tookMs: number;
  /** It is the answer to what is asked now, not to an earlier question. */
  readonly isCurrent: boolean;
}

/** Asked once, and again at each change of `again`, at login and logout. @param path undefined: not yet */
export function useAnswer<T>(path: string | undefined, again: unknown): Asked<T> {
  const key = JSON.stringify([path, again]);
  const [state, setState] = useState<Omit<Asked<T>, "isCurrent"> & { readonly key: string }>({
    answer: undefined,
    error: undefined,
    atMs: 0,
    tookMs: 0,
    key: "",
  });
  const session = useSession();
  const loaded = useRef({ session, isAnswered: false });
  useEffect(() => {
    if (path === undefined) return undefined;
    let isGone = false;
    const { current: before } = loaded;
    const load = async () => {
      const begunMs = performance.now();
      const times = () => ({ atMs: performance.now(), tookMs: performance.now() - begunMs, key });
      try {
        const answer = await request<T>("GET", path);
        if (isGone) return;
        loaded.current = { session, isAnswered: true };
        setState({ answer, error: undefined, ...times() });
      } catch (error) {
        if (isGone) return;
        const isOut = error instanceof LoginNeeded;
        // Whoever finds the session ended tells the others; who was told to ask again knows it from them.
        if (isOut && before?.isAnswered && before.session === session) announceSession();
        loaded.current = { session, isAnswered: !isOut && (before?.isAnswered ?? false) };
        // After it nothing stays on the screen that wants a login.
        setState(({ answer }) => ({ answer: isOut ? undefined : answer, error, ...times() }));
      }
    };
    void load();
    return () => {
      isGone = true;
    };
  }, [path, again, session]);
  return { ...state, isCurrent: state.key === key };
}

/** The page may cost a hundredth of a core: what takes long is asked for again after a hundred times as long as its answer took. */
const restPerAnswer = 100;
/** What it was asked before it was away was no work of its. */
const isRested = ({ atMs, tookMs }: { atMs: number; tookMs: number }) =>
  atMs - tookMs < backMs || performance.now() - atMs >= tookMs * restPerAnswer;

/** As `useAnswer`, and again every so often, for others change it too. @param may absent: always */
export function useFreshAnswer<T>(path: string, again: unknown, may?: () => boolean): Asked<T> {
  const last = useRef<Omit<Asked<T>, "answer">>({ error: undefined, atMs: 0, tookMs: 0, isCurrent: false });
  const ticks = useTick(freshEveryMs, () => {
    const { current } = last;
    if (current === null || !current.isCurrent || may?.() === false) return false;
    // What is refused was a wait for the registry, say, and no work.
    if (!(current.error instanceof Refused) && !isRested(current)) return false;
    last.current = { ...current, isCurrent: false };
    return true;
  });
  const asked = useAnswer<T>(path, `${String(again)} ${ticks}`);
  last.current = asked;
  return asked;
}

const freshEveryMs = 10_000;

/** As `useAnswer`, for what the gateway has to look for, and where `again` changes each second. @param acts each asks at once, for it may have changed it */
export function useRestedAnswer<T>(path: string | undefined, again: number, acts: number): Asked<T> {
  const asked = useRef({ again, atMs: 0 });
  const last = asked.current ?? { again, atMs: 0 };
  const state = useAnswer<T>(path, `${last.again} ${acts}`);
  const isAnswered = state.atMs > last.atMs;
  if (again !== last.again && isAnswered && isRested(state))
    asked.current = { again, atMs: performance.now() };
  return state;
}
