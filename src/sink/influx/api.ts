/**
 * The write interfaces of InfluxDB and of two that speak them, and how to find out which one a server has.
 *
 * Each has its own names for the precision: version 1 silently takes an unknown one for nanoseconds, and version 3 knows the
 * short ones only since 3.6. A precision is always given: `auto`, the default of 3, guesses from the magnitude and would store
 * readings of a device whose clock stands at 1970 in another year.
 *
 * QuestDB and VictoriaMetrics have no databases: under the default names they would mix all tenants in one table. So they
 * are written to only if INFLUXDB_API names them, which makes the tenant a tag; found by `auto`, or behind another name,
 * they are an alarm.
 */
import { Outage } from "../../core/outage.ts";
import { isBusy, isOwnRefusal, proxyLoginHint, saidIn } from "./answer.ts";
import type { Http, InfluxAnswer } from "./http.ts";

export type ApiKind = "v3" | "v2" | "v1" | "questdb" | "victoriametrics";

export interface Api {
  readonly kind: ApiKind;
  /** Product and version as the server gives them, such as "InfluxDB 3.10.1 Core". */
  readonly label: string;
  /** The server itself says that it is InfluxDB. */
  readonly proven: boolean;
}

export interface Credentials {
  readonly token: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** True for servers without databases: the tenant is a tag, and a line that is sent again is stored twice. */
export const isWithoutDatabases = (kind: string): kind is "questdb" | "victoriametrics" =>
  kind === "questdb" || kind === "victoriametrics";

/** Bearer for version 3, Token for 2 and 1, Basic with a user name. Never in the URL. */
export function authorization(kind: ApiKind, { token, username, password }: Credentials): string | null {
  if (username !== undefined) {
    const pair = new TextEncoder().encode(`${username}:${password ?? token ?? ""}`);
    return `Basic ${pair.toBase64()}`;
  }
  if (token === undefined) return null;
  return `${kind === "v2" || kind === "v1" ? "Token" : "Bearer"} ${token}`;
}

export function writePath(kind: ApiKind, database: string, org: string): string {
  const name = encodeURIComponent(database);
  if (kind === "v3") return `/api/v3/write_lp?db=${name}&precision=nanosecond&accept_partial=true`;
  if (kind === "v1") return `/write?db=${name}&precision=ns`;
  if (kind === "questdb") return "/api/v2/write?precision=ns";
  if (kind === "victoriametrics") return "/write?precision=ns";
  return `/api/v2/write?org=${encodeURIComponent(org)}&bucket=${name}&precision=ns`;
}

/**
 * Identifies the server by its answer to `/ping`. Version 3 wants a token there, and refuses a wrong one without its version;
 * 1 can be told to, and gives it. Null if it is unknown.
 */
async function probe(
  http: Http,
  credentials: Credentials,
): Promise<{ readonly api: Api | null; readonly answer: InfluxAnswer }> {
  const auth = authorization("v3", credentials);
  const headers = auth === null ? {} : { authorization: auth };
  const answer = await http({ method: "GET", path: "/ping", headers });
  const { status } = answer;
  if (/questdb/i.test(answer.headers.get("server") ?? "")) return { api: foreign("questdb"), answer };
  const version =
    answer.headers.get("x-influxdb-version") ?? /"version":"([^"]+)"/.exec(answer.text)?.[1] ?? "";
  const major = /^v?([123])\./.exec(version)?.[1];
  if (major === undefined && isRefusal(status)) {
    const proven = words3.test(answer.text);
    return { api: isOwnRefusal(answer) ? { kind: "v3", label: "InfluxDB 3", proven } : null, answer };
  }
  if (major === undefined)
    return { api: status === 204 && (await isPrometheus(http)) ? foreign("victoriametrics") : null, answer };
  // A proxy may hide QuestDB's name.
  if (major === "2" && (await isWithoutBuckets(http, headers))) return { api: foreign("questdb"), answer };
  const build = answer.headers.get("x-influxdb-build") ?? "";
  const label = `InfluxDB ${version.replace(/^v/, "")} ${build}`.trim();
  return { api: { kind: `v${major}` as ApiKind, label, proven: true }, answer };
}

/** What version 3 alone says to a wrong token. */
const words3 = /"the request was not authenticated"/;

const isRefusal = (status: number) => status === 401 || status === 403;

const foreign = (kind: "questdb" | "victoriametrics"): Api => ({
  kind,
  label: kind === "questdb" ? "QuestDB" : "VictoriaMetrics",
  proven: false,
});

/**
 * QuestDB has no buckets, and takes a write of nothing to none. InfluxDB 2 refuses that one, also behind a proxy that lets
 * nothing but writes through.
 */
async function isWithoutBuckets(http: Http, headers: Readonly<Record<string, string>>): Promise<boolean> {
  const { status } = await http({ method: "GET", path: "/api/v2/buckets?limit=1", headers });
  if (status !== 404) return false;
  const write = await http({ method: "POST", path: "/api/v2/write?precision=ns", headers, body: "" });
  return write.status === 204;
}

/** VictoriaMetrics answers `/ping` without a version, and has an endpoint of Prometheus. */
async function isPrometheus(http: Http): Promise<boolean> {
  const { status, text } = await http({ method: "GET", path: "/api/v1/status/buildinfo" });
  return status === 200 && /"status":\s*"success"/.test(text);
}

/**
 * Finds out what the server is.
 * @throws {Outage} if it is unknown, or has no databases.
 */
export async function detect(http: Http, credentials: Credentials): Promise<Api> {
  const { api, answer } = await probe(http, credentials);
  const { status } = answer;
  if (api === null && isBusy(status)) throw away(answer);
  if (api === null && status === 407)
    throw new Outage(`what answers at INFLUXDB_URL says ${saidIn(answer)}${proxyLoginHint}`, {
      retryAfterMs: 30_000,
      alarm: true,
    });
  if (api === null)
    throw new Outage(
      `what answers at INFLUXDB_URL (HTTP ${status} to /ping) does not say that it is InfluxDB: correct the ${isRefusal(status) ? "credentials or the URL" : "host and port"}, or if it is a proxy before InfluxDB or a Telegraf in its place, set INFLUXDB_API`,
      { retryAfterMs: isRefusal(status) ? 30_000 : 5_000, alarm: status < 500 },
    );
  if (isWithoutDatabases(api.kind)) throw mixing(api);
  return api;
}

/**
 * Takes the server for what the settings say. If a proxy does not let `/ping` through, that is not `proven`.
 * @throws {Outage} if the server has no databases and the settings say otherwise, or is away behind its proxy: what is not proven is
 * kept, and less is written to it.
 */
export async function confirm(http: Http, credentials: Credentials, kind: ApiKind): Promise<Api> {
  const label = `InfluxDB ${kind.slice(1)}`;
  if (isWithoutDatabases(kind)) return foreign(kind);
  const { api, answer } = await probe(http, credentials);
  if (api !== null && isWithoutDatabases(api.kind)) throw mixing(api);
  if (isBusy(answer.status) && (await takesNoWrite(http, credentials, kind))) throw away(answer);
  return api?.kind === kind ? api : { kind, label, proven: api?.proven ?? false };
}

/** A proxy that passes nothing but writes may say 503 to all else. */
async function takesNoWrite(http: Http, credentials: Credentials, kind: ApiKind): Promise<boolean> {
  const auth = authorization(kind, credentials);
  const headers = auth === null ? {} : { authorization: auth };
  const { status } = await http({ method: "POST", path: writePath(kind, "", ""), headers, body: "" });
  return isBusy(status);
}

const away = (answer: InfluxAnswer) =>
  new Outage(
    `what answers at INFLUXDB_URL says ${saidIn(answer)} to /ping: if it is a proxy, see that InfluxDB behind it runs`,
  );

function mixing({ kind, label }: Api): Outage {
  return new Outage(
    `the server at INFLUXDB_URL is ${label}, which has no databases and stores a repeated line twice: set INFLUXDB_API=${kind} to write there with the tenant as a tag`,
    { retryAfterMs: 30_000, alarm: true },
  );
}
