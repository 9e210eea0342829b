/**
 * Redis as Sluice uses it: Bun's client under a supervisor, with a deadline around every call.
 *
 * Bun's client costs no byte and a fraction of the CPU of ioredis and node-redis, which also send again or wait for ever in ways
 * that cannot be seen. It lacks deadlines, causes and Sentinel: here a call that is not answered in time abandons the client with
 * all that is pending on it, and the next call connects anew, asking the sentinels first. It never reconnects by itself
 * (autoReconnect), so that every failure is an error of a call, which its caller repeats.
 */
import { withDeadline, type Clock } from "../core/clock.ts";
import { hostPort } from "../core/net/listen.ts";
import { explain } from "../core/log/log.ts";
import { Outage } from "../core/outage.ts";
import { causeOf } from "./cause.ts";
import { type Endpoint, endpoints, placeOf, type RedisValues, sentinelsOf } from "./redis-settings.ts";
import { asOutage, isServerError, wantsAnotherServer } from "./redis-words.ts";

export type Command = readonly [name: string, ...args: string[]];

export interface Redis {
  /** Without user and password; of sentinels, the master last found. */
  readonly place: string;
  readonly isConnected: boolean;
  /** One round trip for all of them; their answers in order. @throws Outage with the first that failed */
  pipeline(commands: readonly Command[], withinMs?: number): Promise<unknown[]>;
  /** The same for one command; the server's own error comes as it is, so that its first word can be looked at. */
  one(command: Command, withinMs?: number): Promise<unknown>;
  /** Runs a script by its hash, and loads it if the server does not know it. */
  script(
    script: Script,
    keys: readonly string[],
    args: readonly string[],
    withinMs?: number,
  ): Promise<unknown>;
  /** Hears what is published on a channel, until the connection ends. @throws Outage */
  subscribe(channel: string, heard: (message: string) => void): Promise<void>;
  close(): void;
}

export interface Script {
  readonly sha: string;
  readonly text: string;
}

export interface RedisOptions {
  readonly settings: RedisValues;
  readonly clock: Clock;
  /** How long a call may take unless it says otherwise. */
  readonly timeoutMs: number;
}

const connectWithinMs = 2_000;

export function script(text: string): Script {
  return { text, sha: new Bun.CryptoHasher("sha1").update(text).digest("hex") };
}

const theCall = "the call";

/** It was connected, and the call took longer than it may. */
export const isUnanswered = (error: unknown): boolean =>
  error instanceof Outage && error.message.includes(`: ${theCall}: no answer within`);

export function openRedis({ settings, clock, timeoutMs }: RedisOptions): Redis {
  const endpointAt = endpoints(settings);
  let place = placeOf(endpointAt());
  let client: Bun.RedisClient | undefined;
  let connecting: Promise<Bun.RedisClient> | undefined;
  let isClosed = false;
  /** Why a client is not used again: of what else was under way Bun says only that the connection is closed. */
  const endedBy = new WeakMap<Bun.RedisClient, unknown>();

  /** One attempt, however many calls wait for it. */
  function connected(): Promise<Bun.RedisClient> {
    if (isClosed) return Promise.reject(new Outage(`Redis at ${place}: the gateway stops`));
    if (client?.connected === true) return Promise.resolve(client);
    connecting ??= connect().finally(() => {
      connecting = undefined;
    });
    return connecting;
  }

  async function connect(): Promise<Bun.RedisClient> {
    client?.close();
    client = undefined;
    const isWatched = settings.sentinels !== undefined;
    const endpoint = endpointAt(isWatched ? await querySentinels(settings, endpointAt, clock) : undefined);
    place = placeOf(endpoint);
    const fresh = await opened(endpoint, clock);
    try {
      if (isWatched) await beMaster(fresh);
    } catch (error) {
      fresh.close();
      throw asOutage(place, error);
    }
    if (isClosed) fresh.close();
    client = fresh;
    return fresh;
  }

  async function beMaster(fresh: Bun.RedisClient): Promise<void> {
    const role = await withDeadline(clock, connectWithinMs, "ROLE", fresh.send("ROLE", []));
    if (!Array.isArray(role) || role[0] !== "master")
      throw new Error("the sentinels name a server that is not the master yet");
  }

  /** A client that did not answer in time, or whose connection ended, is not used again. */
  function abandon(used: Bun.RedisClient, error: unknown): void {
    if (isServerError(error) && !wantsAnotherServer(error)) return;
    if (client === used) client = undefined;
    if (!endedBy.has(used)) endedBy.set(used, error);
    used.close();
  }

  async function run<T>(work: (used: Bun.RedisClient) => Promise<T>, withinMs: number): Promise<T> {
    const used = await connected();
    const at = place;
    try {
      return await withDeadline(clock, withinMs, theCall, work(used));
    } catch (error) {
      abandon(used, error);
      throw isServerError(error) ? error : asOutage(at, endedBy.get(used) ?? error);
    }
  }

  async function one([name, ...args]: Command, withinMs = timeoutMs): Promise<unknown> {
    return run((used) => used.send(name, args), withinMs);
  }

  async function pipeline(commands: readonly Command[], withinMs = timeoutMs): Promise<unknown[]> {
    try {
      const all = (used: Bun.RedisClient) =>
        Promise.all(commands.map(([name, ...args]) => used.send(name, args)));
      return await run(all, withinMs);
    } catch (error) {
      throw asOutage(place, error);
    }
  }

  async function runScript(
    { sha, text }: Script,
    keys: readonly string[],
    args: readonly string[],
    withinMs?: number,
  ): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await one(["EVALSHA", sha, ...rest], withinMs);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw asOutage(place, error);
    }
    try {
      // EVAL with the body, not SCRIPT LOAD: that is forbidden to some users, and the server remembers this, too.
      return await one(["EVAL", text, ...rest], withinMs);
    } catch (error) {
      throw asOutage(place, error);
    }
  }

  return {
    get place() {
      return place;
    },
    get isConnected() {
      return client?.connected === true;
    },
    pipeline,
    one,
    script: runScript,
    async subscribe(channel, heard) {
      try {
        await run(async (used) => void (await used.subscribe(channel, heard)), timeoutMs);
      } catch (error) {
        throw asOutage(place, error);
      }
    },
    close() {
      isClosed = true;
      client?.close();
      client = undefined;
    },
  };
}

/** @throws Outage with the cause */
async function opened(endpoint: Endpoint, clock: Clock): Promise<Bun.RedisClient> {
  const client = new Bun.RedisClient(urlOf(endpoint), {
    autoReconnect: false,
    connectionTimeout: connectWithinMs,
    enableOfflineQueue: false,
    ...(endpoint.tls && { tls: { ...endpoint.tls, rejectUnauthorized: true, serverName: endpoint.host } }),
  });
  try {
    await withDeadline(clock, connectWithinMs, "connecting", client.connect());
    // Bun would send what it is asked for first before it hears that there is no such database: into database 0.
    if (endpoint.db !== 0)
      await withDeadline(clock, connectWithinMs, "SELECT", client.send("SELECT", [String(endpoint.db)]));
    return client;
  } catch (error) {
    client.close();
    const why = (await causeOf(endpoint, clock)) ?? explain(error);
    throw asOutage(placeOf(endpoint), new Error(why));
  }
}

function urlOf({ host, port, socket, username, password, tls }: Endpoint): string {
  const login =
    password === undefined ? "" : `${encodeURIComponent(username ?? "")}:${encodeURIComponent(password)}@`;
  // Bun takes no user and password without a host, and none is asked.
  if (socket !== undefined) return `redis+unix://${login}localhost${socket}`;
  return `${tls === undefined ? "redis" : "rediss"}://${login}${hostPort({ host, port })}`;
}

/** The master's address by the first sentinel that knows it. @throws Outage with what each of them said */
async function querySentinels(
  settings: RedisValues,
  endpointAt: ReturnType<typeof endpoints>,
  clock: Clock,
): Promise<{ host: string; port: number }> {
  const said: string[] = [];
  for (const at of sentinelsOf(settings)) {
    const { sentinelPassword: password, sentinelMaster: name } = settings;
    // They speak TLS if their master does, and know neither its users nor its databases.
    const endpoint: Endpoint = { ...endpointAt(at), db: 0, username: undefined, password };
    try {
      const client = await opened(endpoint, clock);
      const asked = client.send("SENTINEL", ["GET-MASTER-ADDR-BY-NAME", name]);
      const answer = await withDeadline(clock, connectWithinMs, "the sentinel", asked).finally(() =>
        client.close(),
      );
      if (Array.isArray(answer)) return { host: String(answer[0]), port: Number(answer[1]) };
      said.push(`${placeOf(endpoint)} knows no master ${name}: correct REDIS_SENTINEL_MASTER`);
    } catch (error) {
      said.push(explain(asOutage(placeOf(endpoint), error)));
    }
  }
  throw new Outage(`no sentinel names the master: ${said.join("; ")}`);
}
