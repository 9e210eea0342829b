/**
 * A LISTEN that is watched. A connection that went silently (a firewall, a pulled cable) looks like one on which
 * nothing happens, so a small query goes over it every second, with a deadline; postgres.js's own `listen` does not
 * do that, and gives up for good when a renewal fails.
 */
import { backoffMs, sleep, systemClock, withDeadline } from "../core/clock.ts";
import { end, openClient, type PostgresOptions, type Sql } from "../core/postgres.ts";

const checkEveryMs = 1000;
const answerWithinMs = 2000;
const retryBaseMs = 250;
const retryMaxMs = 5000;

export interface Listening {
  readonly options: PostgresOptions;
  readonly channel: string;
  /** Asked on the listening connection before it counts, and again and again; throws where notifications cannot be relied on. */
  check(sql: Sql): Promise<void>;
  notified(payload: string): void;
  /** It does not stand (any more), and why. Said at each failed try too. */
  lost(why: unknown, stood: boolean): void;
  restored(): void;
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

/** One connection, until it fails or `signal` aborts. @returns whether it ever stood */
async function session(spec: Listening, signal: AbortSignal): Promise<boolean> {
  const clock = spec.options.clock ?? systemClock;
  const dropped = Promise.withResolvers<never>();
  dropped.promise.catch(() => {});
  const sql = openClient(spec.options, {
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    onclose: () => dropped.reject(new Error("the connection was closed")),
    onnotify: (_channel, payload) => {
      if (!signal.aborted) spec.notified(payload);
    },
  });
  const answered = (work: Promise<unknown>) =>
    withDeadline(clock, answerWithinMs, "the server", Promise.race([work, dropped.promise]));
  let stands = false;
  try {
    await answered(sql.unsafe(`listen ${spec.channel}`));
    while (!signal.aborted) {
      await answered(spec.check(sql));
      if (!stands && !signal.aborted) spec.restored();
      stands = true;
      await Promise.race([sleep(clock, checkEveryMs, signal), dropped.promise]);
    }
  } catch (error) {
    if (!signal.aborted) spec.lost(error, stands);
  } finally {
    await end(sql, 0);
  }
  return stands;
}
