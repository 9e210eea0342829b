/**
 * A LISTEN that is watched. A connection that broke silently (a firewall, a pulled cable) looks like one on which nothing happens, so
 * a small query goes over it every second, with a deadline. Rejected alternative: postgres.js's own `listen`, which does not do that
 * and gives up for good when it cannot listen again.
 *
 * An accepted LISTEN proves nothing: behind a pooler in transaction mode it stands on a connection that is somebody else's a
 * moment later. So before it counts, and from time to time, a notification of our own is sent over another connection and must be
 * heard on this one. It uses a channel of its own, which gateways of other versions do not know.
 */
import { randomUUID } from "node:crypto";
import { backoffMs, sleep, systemClock, unlessStopped, withDeadline, type Clock } from "../../core/clock.ts";
import { boundedQuery } from "./bounds.ts";
import { end, openClient, type PostgresOptions, type Sql } from "./postgres-client.ts";

const echoChannel = "sluice_echo";
const echoEveryMs = 10_000;
const checkEveryMs = 1000;
const answerWithinMs = 2000;
const retryBaseMs = 250;
const retryMaxMs = 5000;
const connectionClosed = "the connection was closed";

export interface Listening {
  readonly options: PostgresOptions;
  readonly channel: string;
  /** Checks the listening connection, before it counts and repeatedly afterwards; throws if notifications cannot be relied on. */
  check(sql: Sql): Promise<void>;
  /** Sends a notification over another connection. */
  notify(channel: string, payload: string): Promise<void>;
  notified(payload: string): void;
  /** The watch does not stand (any more), and why. Called at each failed try too. */
  lost(why: unknown): void;
  restored(): void;
}

/** Checks that notifications arrive, for `sluice check`. @throws why they do not */
export async function hearsItself(spec: Pick<Listening, "options" | "channel" | "notify">): Promise<void> {
  const heard = Promise.withResolvers<void>();
  const stop = listen({
    ...spec,
    check: () => Promise.resolve(),
    notified() {},
    lost: (why) => heard.reject(why),
    restored: () => heard.resolve(),
  });
  try {
    await heard.promise;
  } finally {
    await stop();
  }
}

/** Listens until the returned function is called. */
export function listen(spec: Listening): () => Promise<void> {
  const stopping = new AbortController();
  const clock = spec.options.clock ?? systemClock;
  const loop = async () => {
    for (let attempt = 0; !stopping.signal.aborted; attempt++) {
      if (await session(spec, stopping.signal)) attempt = 0;
      await sleep(clock, backoffMs(attempt, retryBaseMs, retryMaxMs), stopping.signal);
    }
  };
  const ended = loop();
  return async () => {
    stopping.abort();
    await ended;
  };
}

/** Listens on one connection until it fails or `signal` aborts. @returns whether the watch ever stood */
async function session(spec: Listening, signal: AbortSignal): Promise<boolean> {
  const clock = spec.options.clock ?? systemClock;
  const { url } = spec.options;
  // A signal, not a promise: each race with a promise that stays pending leaves something in it, three times a second for months.
  const closed = new AbortController();
  const over = AbortSignal.any([signal, closed.signal]);
  const echo = echoes(spec, clock);
  let sql: Sql | undefined;
  const open = () =>
    openClient(spec.options, {
      max: 1,
      max_lifetime: null,
      idle_timeout: 0,
      onclose: () => closed.abort(),
      onnotify: (channel, payload) => {
        if (channel === echoChannel) echo.heard(payload);
        else if (!signal.aborted) spec.notified(payload);
      },
    });
  const unlessClosed = (work: Promise<unknown>) => unlessStopped(closed.signal, work, connectionClosed);
  const answered = (work: Promise<unknown>, withinMs = answerWithinMs) =>
    withDeadline(clock, withinMs, "the server", unlessClosed(work));
  let stands = false;
  try {
    sql = open();
    // The first query connects, perhaps to the last of several hosts.
    const { timeoutMs } = spec.options;
    const opening = boundedQuery(timeoutMs, `${neverIdle}; listen ${spec.channel}; listen ${echoChannel}`);
    await answered(sql.unsafe(opening), timeoutMs);
    // Behind another URL there may be another server, which is asked from now on; what changed in between is read again once it is heard.
    while (!signal.aborted && spec.options.url === url) {
      await answered(spec.check(sql));
      await unlessClosed(echo.due());
      if (!stands && !signal.aborted) spec.restored();
      stands = true;
      await sleep(clock, checkEveryMs, over);
      if (closed.signal.aborted) throw new Error(connectionClosed);
    }
  } catch (error) {
    if (!signal.aborted) spec.lost(error);
  } finally {
    if (sql !== undefined) await end(sql, 0);
  }
  return stands;
}

/** Keeps a server that ends idle sessions (idle_session_timeout, PostgreSQL 14 and later) from ending this one repeatedly. */
const neverIdle = `select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout'`;

/** Sends notifications of our own when they are due, and waits for them. */
function echoes(spec: Listening, clock: Clock) {
  let nextMs = clock.monoMs();
  let waiting: { readonly payload: string; readonly heard: () => void } | undefined;
  return {
    heard(payload: string) {
      if (payload === waiting?.payload) waiting.heard();
    },
    /** @throws if a notification was not heard */
    async due(): Promise<void> {
      if (clock.monoMs() < nextMs) return;
      const payload = randomUUID();
      const heard = new Promise<void>((resolve) => {
        waiting = { payload, heard: resolve };
      });
      await withDeadline(clock, answerWithinMs, "the server", spec.notify(echoChannel, payload));
      await withDeadline(clock, answerWithinMs, notHeard, heard);
      nextMs = clock.monoMs() + echoEveryMs;
    },
  };
}

const notHeard =
  "a notification of our own was not heard: behind a connection pooler in transaction mode LISTEN does not work; connect past it, or in session mode";
