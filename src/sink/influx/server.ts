/**
 * An InfluxDB server as a target: finds out which interface it has, creates databases if the settings say so, and sends.
 */
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log/log.ts";
import { Outage } from "../../core/outage.ts";
import { isOwnRefusal, judgeAnswer, lacksDatabase, saidIn, type Verdict } from "./answer.ts";
import {
  authorization,
  confirm,
  detect,
  isWithoutDatabases,
  writePath,
  type Api,
  type ApiKind,
  type Credentials,
} from "./api.ts";
import {
  coreDatabasesMax,
  createDatabase,
  exampleOf,
  listDatabases,
  nameFault,
  type SendRequest,
} from "./database.ts";
import { createHttp, placeOf, type Fetch, type InfluxAnswer } from "./http.ts";
import type { Target } from "./target.ts";
import { counted } from "../../core/text/readable.ts";

export interface ServerOptions {
  readonly url: string;
  readonly api: ApiKind | "auto";
  readonly credentials: Credentials;
  readonly org: string;
  /** Databases are created before their first write, to keep data this long. Absent: none is created. */
  readonly retention: string | undefined;
  /** INFLUXDB_DATABASE: the database of every tenant, or (without {tenant_id}) of all. */
  readonly database: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly fetch: Fetch;
}

/** Below this, gzip costs more than it saves. */
const gzipBytesMin = 1_024;
const unsupportedMediaType = 415;
const createdMax = 10_000;
/** Most databases to which `check` tries an empty write. */
const triedMax = 20;
/** What answers an empty write of who may write: it is stored, or has no line. */
const tookWrite: ReadonlySet<number> = new Set([204, 400, 422]);

export function createServer(options: ServerOptions): Target {
  const { clock, log, credentials, org, retention } = options;
  const base = options.url.replace(/\/+$/, "");
  const http = createHttp({ ...options, base });
  const [prefix = "", suffix] = options.database.split("{tenant_id}");
  const perTenant = suffix !== undefined && !isWithoutDatabases(options.api);
  /** Databases that exist. The value is null, or why the token may not create one that may exist. */
  const created = new Map<string, string | null>();
  let finding: Promise<Api> | null = null;
  let announced = false;
  let api: Api | null = null;
  let bytesSent = 0;
  let takesGzip = true;

  const asking = (kind: ApiKind, signal?: AbortSignal): SendRequest => {
    const auth = authorization(kind, credentials);
    return (request) =>
      http({
        ...request,
        headers: { ...request.headers, ...(auth === null ? {} : { authorization: auth }) },
        ...(signal === undefined ? {} : { signal }),
      });
  };

  /** An error before the server's verdict is not about one database. */
  async function reaching<T>(signal: AbortSignal, work: (found: Api) => Promise<T>): Promise<T> {
    try {
      return await work(await known());
    } catch (error) {
      if (error instanceof Outage && !signal.aborted) error.scope = "sink";
      throw error;
    }
  }

  async function known(): Promise<Api> {
    if (api === null) {
      finding ??= identify().finally(() => (finding = null));
      api = await finding;
    }
    announce(api);
    return api;
  }

  const identify = () =>
    options.api === "auto" ? detect(http, credentials) : confirm(http, credentials, options.api);

  function announce(found: Api) {
    if (announced) return;
    announced = true;
    log.info({ influx: found.label, api: found.kind }, "InfluxDB is the target");
    if (isWithoutDatabases(found.kind)) log.warn(sharedWords(found));
    if (perTenant && isCore(found))
      log.warn(
        `InfluxDB 3 Core holds ${coreDatabasesMax} databases and INFLUXDB_DATABASE makes one of every tenant: the data of tenants beyond that waits; name one database for all to share`,
      );
  }

  /** Creates the database if necessary. @returns the verdict if the server refuses; undefined if the database exists, or may */
  async function ensure(found: Api, database: string, signal: AbortSignal) {
    if (retention === undefined || isWithoutDatabases(found.kind)) return undefined;
    const send = asking(found.kind, signal);
    try {
      if (found.kind === "v3" && created.has(database)) await look(send, found);
      if (created.has(database)) return undefined;
      const denied = await createDatabase(send, found.kind, database, retention, org);
      if (created.size >= createdMax) created.clear();
      created.set(database, denied);
    } catch (error) {
      // A refusal concerns this database alone.
      if (error instanceof Outage && error.alarm) return parkedBy(error);
      throw error;
    }
    return undefined;
  }

  /**
   * Forgets databases that were deleted. InfluxDB 3 creates them anew at the next write, to keep data for ever, and takes a
   * retention period at creation only. So its list is read before each write, which costs little beside the second that the
   * write waits for the server's log. If the list is refused, the write is tried all the same.
   */
  async function look(send: SendRequest, found: Api) {
    try {
      const there = new Set(await listDatabases(send, found, org));
      for (const name of created.keys()) if (!there.has(name)) created.delete(name);
    } catch (error) {
      if (!(error instanceof Outage && error.alarm)) throw error;
    }
  }

  async function write(
    found: Api,
    database: string,
    plain: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const wasThere = created.has(database);
    const parked = await ensure(found, database, signal);
    if (parked !== undefined) return parked;
    const isPacked = takesGzip && plain.length > gzipBytesMin;
    // A copy in both cases, for the memory of the lines may be overwritten once the request is aborted.
    const packed = isPacked ? Bun.gzipSync(plain, { level: 1 }) : plain.slice();
    bytesSent += packed.length;
    const answer = await asking(
      found.kind,
      signal,
    )({
      method: "POST",
      path: writePath(found.kind, database, org),
      headers: {
        "content-type": "text/plain; charset=utf-8",
        ...(isPacked && { "content-encoding": "gzip" }),
      },
      body: packed,
    });
    if (isPacked && answer.status === unsupportedMediaType) {
      if (takesGzip)
        log.warn("a proxy before InfluxDB takes no gzip (HTTP 415): it is sent lines as they are");
      takesGzip = false;
      return write(found, database, plain, signal);
    }
    const verdict = judgeAnswer(answer, found.kind, clock.wallMs());
    const denied = created.get(database);
    if (answer.status === 404) forget(database);
    if (answer.status !== 404 || denied === undefined || verdict.kind !== "away") return verdict;
    if (denied !== null) return { ...verdict, why: `${verdict.why}; ${denied}` };
    // Somebody deleted it; if it is created again and still not found, the next answer is an alarm.
    return wasThere && lacksDatabase(answer)
      ? { ...verdict, why: goneWords(database), retryAfterMs: 0, alarm: false }
      : verdict;
  }

  async function probeShared(server: Api): Promise<string> {
    const answer = await writeNothing(server, "");
    if (answer.status !== 204) throw new Outage(`${server.label} answers ${saidIn(answer)}`, { alarm: true });
    return `${server.label} at ${base}: ${sharedWords(server)}`;
  }

  /** After a 404: the database is created again, and a server that was replaced is identified again. */
  function forget(database: string) {
    created.delete(database);
    if (options.api === "auto") api = null;
  }

  /** A proxy, or a Telegraf that listens in InfluxDB's place, may take writes and nothing else: null. */
  async function listed(server: Api): Promise<string[] | null> {
    try {
      return await listDatabases(asking(server.kind), server, org);
    } catch (error) {
      if (server.proven || suffix !== undefined) throw error;
      const { status } = await writeNothing(server, prefix);
      if (status === 204 || (status === 400 && server.kind === "v3")) return null;
      throw error;
    }
  }

  const writeNothing = ({ kind }: Api, name: string) =>
    asking(kind)({ method: "POST", path: writePath(kind, name, org), body: "" });

  /** Finds out by empty writes, which store nothing, whether the token may write. Only databases that exist are tried. */
  async function tryWriting(server: Api, names: readonly string[]): Promise<string> {
    const tried = names.slice(0, triedMax);
    const denied: string[] = [];
    for (const name of tried) {
      const answer = await writeNothing(server, name);
      const { status } = answer;
      if (status === 401 || (status === 403 && isOwnRefusal(answer))) denied.push(name);
      // With INFLUX_RETENTION it is created before its first write.
      else if (!tookWrite.has(status) && !(status === 404 && retention !== undefined))
        throw new Outage(triedWords(answer, server, name), { alarm: true });
    }
    if (denied.length > 0)
      throw new Outage(
        `INFLUXDB_TOKEN may not write to ${denied.length} of ${counted(tried.length, "database")} tried: ${denied.slice(0, 5).join(", ")}`,
        { alarm: true },
      );
    return tried.length === 0
      ? "; no database to try writing to yet"
      : `; may write to ${tried.length} of them`;
  }

  function triedWords(answer: InfluxAnswer, { label, kind }: Api, name: string): string {
    const verdict = judgeAnswer(answer, kind, clock.wallMs());
    const why = "why" in verdict ? verdict.why : `HTTP ${answer.status}`;
    return `${label} at ${base} takes no write to ${name}: ${why}`;
  }

  const isOurs = (name: string) =>
    suffix === undefined
      ? name === prefix
      : name.length > prefix.length + suffix.length && name.startsWith(prefix) && name.endsWith(suffix);

  return {
    rules: (signal) => reaching(signal, (found) => Promise.resolve(found)),
    post: (database, body, signal) => reaching(signal, (found) => write(found, database, body, signal)),
    async probe() {
      const server = await known();
      if (isWithoutDatabases(server.kind)) return probeShared(server);
      const fault = nameFault(server.kind, exampleOf(options.database));
      if (fault !== null) throw new Error(fault);
      const names = await listed(server);
      if (names === null) {
        await tryWriting(server, [prefix]);
        return `${server.label} at ${base} (${server.kind}), which lists no databases; may write to ${prefix}`;
      }
      const inUse = isCore(server)
        ? `${names.length} of ${coreDatabasesMax} databases`
        : counted(names.length, "database");
      const warning =
        perTenant && isCore(server)
          ? "; INFLUXDB_DATABASE makes one of every tenant, and data of tenants beyond that limit waits"
          : "";
      const ours = names.filter(isOurs);
      // A token that may only write sees no buckets.
      if (server.kind === "v2" && suffix === undefined && ours.length === 0) ours.push(prefix);
      const may = await tryWriting(server, ours);
      return `${server.label} at ${base} (${server.kind}), ${inUse} in use${may}${warning}`;
    },
    place: placeOf(base),
    get label() {
      return `${api?.kind ?? options.api} ${base}`;
    },
    get bytesSent() {
      return bytesSent;
    },
    close: () => Promise.resolve(),
  };
}

const goneWords = (database: string) =>
  `HTTP 404: database ${database} was deleted, and is created again because INFLUX_RETENTION is set`;

function sharedWords({ kind, label }: Api): string {
  const texts = kind === "victoriametrics" ? ", and text is left out" : "";
  return `${label} has no databases, so the tenant is a tag; a line that is sent again is stored twice (turn its deduplication on)${texts}`;
}

/** A server that does not name its edition is taken for the stricter one. */
const isCore = ({ kind, label }: Api) => kind === "v3" && !/enterprise|cloud/i.test(label);

function parkedBy({ message, retryAfterMs }: Outage): Verdict {
  return { kind: "away", why: message, retryAfterMs, down: false, alarm: true, slow: false };
}
