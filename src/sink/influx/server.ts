/**
 * An InfluxDB server as a target: finds out which interface it has, creates databases where asked to, sends.
 */
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { Outage } from "../outage.ts";
import { judgeAnswer, type Verdict } from "./answer.ts";
import { authorization, detect, writePath, type Api, type ApiKind, type Credentials } from "./api.ts";
import { createBreaker } from "./breaker.ts";
import { coreDatabasesMax, countDatabases, createDatabase, type Ask } from "./database.ts";
import { createHttp, type Fetch } from "./http.ts";
import type { Target } from "./target.ts";

export interface ServerOptions {
  readonly url: string;
  readonly api: ApiKind | "auto";
  readonly credentials: Credentials;
  readonly org: string;
  /** Databases are created before their first write, and keep data this long; absent: none is created. */
  readonly retention: string | undefined;
  /** The template makes a database of every tenant. */
  readonly perTenant: boolean;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly fetch: Fetch;
}

/** Below this, gzip costs more than it saves. */
const gzipBytesMin = 1_024;
const createdMax = 10_000;

export function createServer(options: ServerOptions): Target {
  const { clock, log, credentials, org, retention } = options;
  const base = options.url.replace(/\/+$/, "");
  const http = createHttp({ ...options, base });
  const breaker = createBreaker(clock, options.random);
  const created = new Set<string>();
  let finding: Promise<Api> | null = null;
  let announced = false;
  let api: Api | null =
    options.api === "auto" ? null : { kind: options.api, label: `InfluxDB (${options.api})` };
  let bytesSent = 0;

  const asking = (kind: ApiKind, signal?: AbortSignal): Ask => {
    const auth = authorization(kind, credentials);
    return (request) =>
      http({
        ...request,
        headers: { ...request.headers, ...(auth === null ? {} : { authorization: auth }) },
        ...(signal === undefined ? {} : { signal }),
      });
  };

  /** Runs against the server, telling the breaker how it went. */
  async function guarded<T>(signal: AbortSignal, work: (found: Api) => Promise<T>): Promise<T> {
    breaker.enter();
    try {
      return await work(await known());
    } catch (error) {
      if (error instanceof Outage && !signal.aborted) breaker.down(error);
      throw error;
    }
  }

  async function known(): Promise<Api> {
    if (api === null) {
      finding ??= detect(http, credentials).finally(() => (finding = null));
      api = await finding;
    }
    announce(api);
    return api;
  }

  function announce(found: Api) {
    if (announced) return;
    announced = true;
    log.info({ influx: found.label, api: found.kind }, "InfluxDB is the target");
    if (options.perTenant && isCore(found))
      log.warn(
        `InfluxDB 3 Core holds ${coreDatabasesMax} databases and INFLUXDB_DATABASE makes one of every tenant: the data of tenants beyond that waits; name one database for all to share`,
      );
  }

  /** The verdict where the server will not have the database; undefined where it is there. */
  async function ensure(found: Api, database: string, signal: AbortSignal) {
    if (retention === undefined || created.has(database)) return undefined;
    try {
      await createDatabase(asking(found.kind, signal), found.kind, database, retention, org);
    } catch (error) {
      // A refusal concerns this database alone and must not open the breaker for the others.
      if (error instanceof Outage && error.alarm) return parkedBy(error);
      throw error;
    }
    if (created.size >= createdMax) created.clear();
    created.add(database);
    return undefined;
  }

  async function write(found: Api, database: string, body: string, signal: AbortSignal): Promise<Verdict> {
    const parked = await ensure(found, database, signal);
    if (parked !== undefined) return parked;
    const plain = new TextEncoder().encode(body);
    const packed = plain.length > gzipBytesMin ? Bun.gzipSync(plain, { level: 1 }) : plain;
    bytesSent += packed.length;
    const answer = await asking(
      found.kind,
      signal,
    )({
      method: "POST",
      path: writePath(found.kind, database, org),
      headers: {
        "content-type": "text/plain; charset=utf-8",
        ...(packed === plain ? {} : { "content-encoding": "gzip" }),
      },
      body: packed,
    });
    if (answer.status === 404) forget(database);
    return judgeAnswer(answer, clock.wallMs());
  }

  /** A database that is gone is created again; a server that was replaced is asked again what it is. */
  function forget(database: string) {
    created.delete(database);
    if (options.api === "auto") api = null;
  }

  return {
    async kind(signal) {
      breaker.check();
      if (api !== null) return api.kind;
      const { kind } = await guarded(signal, (found) => Promise.resolve(found));
      breaker.up();
      return kind;
    },
    async post(database, body, signal) {
      const verdict = await guarded(signal, (found) => write(found, database, body, signal));
      if (verdict.kind === "away" && verdict.down)
        breaker.down(new Outage(`InfluxDB (${verdict.why})`, verdict));
      else breaker.up();
      return verdict;
    },
    async probe() {
      const server = await known();
      const count = await countDatabases(asking(server.kind), server, org);
      const limit = isCore(server) ? ` of ${coreDatabasesMax}` : "";
      const warning =
        options.perTenant && isCore(server)
          ? "; INFLUXDB_DATABASE makes one of every tenant, and data of tenants beyond that limit waits"
          : "";
      return `${server.label} at ${base} (${server.kind}), ${count}${limit} databases in use${warning}`;
    },
    get label() {
      return `${api?.kind ?? "auto"} ${base}`;
    },
    get bytesSent() {
      return bytesSent;
    },
    close: () => Promise.resolve(),
  };
}

/** Where the server does not say what it is, the stricter one is assumed. */
const isCore = ({ kind, label }: Api) => kind === "v3" && !/enterprise|cloud/i.test(label);

function parkedBy({ message, retryAfterMs }: Outage): Verdict {
  return { kind: "away", why: message, retryAfterMs, down: false, alarm: true };
}
