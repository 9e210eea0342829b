/**
 * Where Redis is and how to log in there: one table for the sink, the look-up and the shared auth cache, which share a server.
 * The names without URL are those that existing deployments have; a secret that is renewed is used from the next connection on.
 */
import { isIPv6 } from "node:net";
import { z } from "zod";
import { hostPort } from "../core/net/listen.ts";
import { parseServers, type Server } from "../core/net/servers.ts";
import { lastGood, pairMistakes, readTls, type TlsTexts, tlsMistakes } from "../core/net/pem.ts";
import { integer, flag, inUrl, optionalString, string, urlOf, type Values } from "../core/settings.ts";
import { sinkSettings } from "../core/sink.ts";
import { oneLevel } from "../core/topic-level.ts";

const common = sinkSettings({
  prefix: "REDIS",
  title: "Redis",
  timeoutMs: 5_000,
  concurrency: { default: 1, per: "gateway" },
  whenFull: "skip",
});

const hostsPattern = z
  .string()
  .refine((said) => parseServers(said) !== undefined, "host:port, several separated by commas");

/** What another client's spelling adds must not be passed over: it would write into another database. */
const redisUrl = urlOf(["redis", "rediss", "redis+unix"])
  .refine(
    inUrl(({ search, hash }) => search === "" && hash === ""),
    "a URL without ? and #: the database is its path, or REDIS_DB",
  )
  .refine(
    inUrl(({ protocol, pathname }) => protocol === "redis+unix:" || /^(?:\/\d{0,7})?$/.test(pathname)),
    "a URL whose path is the number of a database, such as /0",
  )
  .refine(
    inUrl(
      ({ protocol, host, pathname }) => protocol !== "redis+unix:" || (host === "" && pathname.length > 1),
    ),
    "a URL with the whole path of the socket, after three slashes: redis+unix:///run/redis.sock",
  );

const hostName = z
  .string()
  .refine(
    (said) => isIPv6(said.replace(/^\[|\]$/g, "")) || !/[\s:/@]/.test(said),
    "a name or an address alone: its port is REDIS_PORT, and a URL goes into REDIS_URL",
  );

const portSetting = integer({
  name: "REDIS_PORT",
  default: 6379,
  min: 1,
  max: 65_535,
  unit: "port",
  help: "Port of REDIS_HOST.",
});

/** Kubernetes sets REDIS_PORT=tcp://10.0.0.1:6379 in every pod beside a service called redis. */
function withoutService(said: unknown): unknown {
  return /^tcp:\/\/.*:(\d+)$/.exec(String(said))?.[1] ?? said;
}

export const redisSettings = {
  url: optionalString({
    name: "REDIS_URL",
    unit: "url",
    secret: true,
    check: redisUrl,
    help: "Redis for the latest values of each device, such as redis://user:password@host:6379/0, rediss:// for TLS, redis+unix:///path; without it or REDIS_HOST or REDIS_SENTINELS nothing is written to Redis.",
  }),
  host: optionalString({
    name: "REDIS_HOST",
    check: hostName,
    help: "Host of Redis, in place of REDIS_URL.",
  }),
  port: { ...portSetting, schema: z.preprocess(withoutService, portSetting.schema) },
  db: integer({
    name: "REDIS_DB",
    default: 0,
    max: 1_000_000,
    unit: "number",
    help: "Number of the database, if REDIS_URL names none.",
  }),
  username: optionalString({ name: "REDIS_USERNAME", help: "ACL user, if REDIS_URL names none." }),
  password: optionalString({
    name: "REDIS_PASSWORD",
    secret: true,
    help: "Password of that user, or of the server.",
  }),
  sentinels: optionalString({
    name: "REDIS_SENTINELS",
    unit: "host:port,…",
    check: hostsPattern,
    help: "Sentinels to ask for the master, in place of a host.",
  }),
  sentinelMaster: string({
    name: "REDIS_SENTINEL_MASTER",
    default: "mymaster",
    help: "What the sentinels call the master.",
  }),
  sentinelPassword: optionalString({
    name: "REDIS_SENTINEL_PASSWORD",
    secret: true,
    help: "Password of the sentinels themselves.",
  }),
  tls: flag({
    name: "REDIS_TLS",
    default: false,
    help: "1: TLS to REDIS_HOST, or to the sentinels and their master.",
  }),
  tlsCa: optionalString({
    name: "REDIS_TLS_CA",
    unit: "path",
    help: "PEM file of the CA that signed the server's certificate (absent: those that this host trusts).",
  }),
  tlsCert: optionalString({
    name: "REDIS_TLS_CERT",
    unit: "path",
    help: "PEM file of our client certificate.",
  }),
  tlsKey: optionalString({
    name: "REDIS_TLS_KEY",
    unit: "path",
    help: "PEM file of the key of REDIS_TLS_CERT.",
  }),
  prefix: string({
    name: "REDIS_PREFIX",
    default: "",
    help: "Stands in front of every key.",
  }),
  ttlSeconds: integer({
    name: "REDIS_METADATA_TTL",
    default: 86_400,
    min: 1,
    max: 31_536_000,
    unit: "seconds",
    help: "A device that has not spoken for this long is forgotten; the same on every gateway that shares the server.",
  }),
  tenant: optionalString({
    name: "REDIS_TENANT",
    unit: "name",
    check: oneLevel,
    help: "The tenant whose devices have keys by their id alone, as existing readers want them; all others are tenant/device.",
  }),
  writeEnabled: flag({
    name: "REDIS_WRITE_ENABLED",
    default: true,
    help: "0 writes no latest values, and the look-up reads none there: Redis then serves the shared auth cache alone.",
  }),
  timeoutMs: common.timeoutMs,
  whenFull: common.whenFull,
};

export type RedisValues = Values<typeof redisSettings>;

export function isRedisNamed({ url, host, sentinels }: RedisValues): boolean {
  return url !== undefined || host !== undefined || sentinels !== undefined;
}

const tlsNames = { ca: "REDIS_TLS_CA", cert: "REDIS_TLS_CERT", key: "REDIS_TLS_KEY" };

/** What is wrong with these settings taken together, a sentence each. */
export function redisMistakes(settings: RedisValues): string[] {
  const { url, host, sentinels, tlsCa, tlsCert, tlsKey } = settings;
  const mistakes: string[] = [];
  if (host !== undefined && (url ?? sentinels) !== undefined)
    mistakes.push(
      `REDIS_HOST and ${url === undefined ? "REDIS_SENTINELS" : "REDIS_URL"} are both set: unset one of them`,
    );
  if (url !== undefined && sentinels !== undefined)
    mistakes.push("REDIS_URL and REDIS_SENTINELS are both set: unset REDIS_URL and give REDIS_PASSWORD");
  const paths = { ca: tlsCa, cert: tlsCert, key: tlsKey };
  mistakes.push(...pairMistakes(tlsNames, paths));
  if ((tlsCa ?? tlsCert ?? tlsKey) !== undefined && isRedisNamed(settings) && !isTls(settings))
    mistakes.push(
      "REDIS_TLS_CA, REDIS_TLS_CERT and REDIS_TLS_KEY need a REDIS_URL that begins with rediss://, or REDIS_TLS=1",
    );
  return [...mistakes, ...tlsMistakes(tlsNames, paths)];
}

function isTls({ url, tls }: RedisValues): boolean {
  return url === undefined ? tls : url.startsWith("rediss:");
}

/** A server, and how to log in there. */
export interface Endpoint {
  /** An IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** In place of host and port. */
  readonly socket: string | undefined;
  readonly db: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: TlsTexts | undefined;
}

/** Where the settings point now; files and secrets are read anew. `at`: the master that a sentinel named. */
export function endpoints(settings: RedisValues): (at?: Server) => Endpoint {
  const tls = lastGood(() =>
    readTls(tlsNames, { ca: settings.tlsCa, cert: settings.tlsCert, key: settings.tlsKey }),
  );
  return (at) => {
    const { url: said, host = "127.0.0.1", port, db, username, password } = settings;
    const url = said === undefined ? undefined : new URL(said);
    const isSocket = url?.protocol === "redis+unix:";
    const number = isSocket ? "" : (url?.pathname.slice(1) ?? "");
    const user = decoded(url?.username) ?? username;
    return {
      host: (at?.host ?? (url?.hostname || host)).replace(/^\[|\]$/g, ""),
      port: at?.port ?? (url === undefined ? port : Number(url.port || 6379)),
      socket: isSocket ? url.pathname : undefined,
      db: number === "" ? db : Number(number),
      username: user,
      // A user may have none (nopass), and without any it would be the default user who logs in.
      password: decoded(url?.password) ?? password ?? (user === undefined ? undefined : ""),
      tls: isTls(settings) ? tls() : undefined,
    };
  };
}

function decoded(part: string | undefined): string | undefined {
  return part === undefined || part === "" ? undefined : decodeURIComponent(part);
}

export function sentinelsOf({ sentinels = "" }: RedisValues): readonly Server[] {
  return parseServers(sentinels) ?? [];
}

/** What names the server in a message; without user and password. */
export function placeOf({ host, port, socket, db }: Endpoint): string {
  return `${socket ?? hostPort({ host, port })}${db === 0 ? "" : `/${db}`}`;
}
