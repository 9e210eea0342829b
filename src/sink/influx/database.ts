/**
 * Databases: which names a server can have, and their creation with a retention period, which InfluxDB 3 Core takes at
 * creation only. (Without one, 3 creates a database at its first write and keeps the data for ever; 1 and 2 create none by
 * themselves.)
 */
import { z } from "zod";
import { Outage } from "../../core/outage.ts";
import { isWithoutDatabases, type Api, type ApiKind } from "./api.ts";
import { isBusy, parse, saidIn } from "./answer.ts";
import type { InfluxAnswer, InfluxRequest } from "./http.ts";

/** Sends a request with the credentials. */
export type SendRequest = (request: InfluxRequest) => Promise<InfluxAnswer>;

/** InfluxDB 3 Core holds this many databases. */
export const coreDatabasesMax = 5;
/** Most buckets that are listed. */
const bucketsMax = 2_000;
const pageMax = 100;

const portableName = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
// oxlint-disable-next-line no-control-regex
const looseName = /^[^_"\\/\u0000-\u001f\u007f][^"\\/\u0000-\u001f\u007f]{0,127}$/;
/** InfluxDB 2 prefers ids to names: a bucket of such a name would be taken for the one with that id. */
const idOf2 = /^[0-9a-f]{16}$/i;

/** What is wrong with a database name; null if nothing. A bad one would cost its whole batch, or name another database. */
export function nameFault(kind: ApiKind | "file", name: string): string | null {
  if (isWithoutDatabases(kind)) return null;
  if (kind === "v2" && idOf2.test(name))
    return `${JSON.stringify(name)} cannot be the name of a bucket: InfluxDB 2 would take it for another bucket's id (put something before it in INFLUXDB_DATABASE)`;
  if ((kind === "v1" || kind === "v2" ? looseName : portableName).test(name)) return null;
  return `${JSON.stringify(name)} cannot be the name of a database: letters, digits, "_" and "-", 64 at most (INFLUXDB_DATABASE can name one that tenants share)`;
}

/** A database as INFLUXDB_DATABASE names it for a tenant whose own name is none's fault. */
export const exampleOf = (database: string): string => database.replace("{tenant_id}", "tenant");

/** `30d` and the like in seconds; 0 for `forever`. */
export function retentionSeconds(retention: string): number {
  const unit = { h: 3600, d: 86_400, w: 604_800 }[retention.slice(-1)];
  return unit === undefined ? 0 : Number.parseInt(retention, 10) * unit;
}

/**
 * Creates a database unless it is there.
 * @returns why the token may not create it, in which case it may exist all the same; else null
 * @throws {Outage} if the server refuses
 */
export async function createDatabase(
  send: SendRequest,
  kind: ApiKind,
  name: string,
  retention: string,
  org: string,
): Promise<string | null> {
  if (isWithoutDatabases(kind)) return null;
  const create = kind === "v3" ? createV3 : kind === "v2" ? createV2 : createV1;
  const answer = await create(send, name, retention, org);
  const there = answer.status === 409 || /already exists|conflicts with an existing/i.test(answer.text);
  const isRefused = answer.status >= 300 || /"error"/.test(answer.text);
  if (!isRefused || there) return null;
  const why = `cannot create database ${name}: ${saidIn(answer)}`;
  if (answer.status === 401 || answer.status === 403) return why;
  // A busy server needs no operator. A 500 does: it also stands for a period that the server does not take.
  throw isBusy(answer.status) ? new Outage(why) : new Outage(why, { retryAfterMs: 30_000, alarm: true });
}

const json = { "content-type": "application/json" };

function createV3(send: SendRequest, db: string, retention: string): Promise<InfluxAnswer> {
  const period = retentionSeconds(retention) === 0 ? {} : { retention_period: retention };
  const body = JSON.stringify({ db, ...period });
  return send({ method: "POST", path: "/api/v3/configure/database", headers: json, body });
}

async function createV2(
  send: SendRequest,
  name: string,
  retention: string,
  org: string,
): Promise<InfluxAnswer> {
  const orgID = await organizationId(send, org);
  if (orgID === null) return { status: 403, headers: new Headers(), text: "the token sees no organization" };
  const retentionRules = [{ type: "expire", everySeconds: retentionSeconds(retention) }];
  const body = JSON.stringify({ orgID, name, retentionRules });
  return send({ method: "POST", path: "/api/v2/buckets", headers: json, body });
}

/**
 * The id of the organization in INFLUXDB_ORG, which is a name or an id; null if the token may not read it.
 * @throws {Outage} if it is not set or does not exist
 */
async function organizationId(send: SendRequest, org: string): Promise<string | null> {
  if (org === "")
    throw new Outage(
      "INFLUXDB_ORG is not set, and InfluxDB 2 writes nothing without: set it to the organization's name or id",
      {
        retryAfterMs: 30_000,
        alarm: true,
      },
    );
  let last: InfluxAnswer | undefined;
  for (const key of idOf2.test(org) ? ["orgID", "org"] : ["org"]) {
    last = await send({ method: "GET", path: `/api/v2/orgs?${key}=${encodeURIComponent(org)}` });
    const found = last.status === 200 ? orgsOf2.safeParse(parse(last.text)) : undefined;
    if (found?.success) return found.data.orgs[0]?.id ?? null;
    if (found !== undefined) break;
  }
  const status = last?.status ?? 0;
  const why = `organization ${JSON.stringify(org)}: ${last === undefined ? "" : saidIn(last)}`;
  throw isBusy(status)
    ? new Outage(why)
    : new Outage(why + hintOfOrganization(status), { retryAfterMs: 30_000, alarm: true });
}

function hintOfOrganization(status: number): string {
  if (status === 401) return " (check INFLUXDB_TOKEN)";
  if (status === 200) return " (no list: check INFLUXDB_URL)";
  return status === 400 || status === 404 ? " (set INFLUXDB_ORG to the organization's name or id)" : "";
}

function createV1(send: SendRequest, name: string, retention: string): Promise<InfluxAnswer> {
  const period = retentionSeconds(retention) === 0 ? "INF" : retention;
  return send(queryV1(`CREATE DATABASE "${name}" WITH DURATION ${period}`));
}

function queryV1(query: string): InfluxRequest {
  const body = new URLSearchParams({ q: query }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return { method: "POST", path: "/query", headers, body };
}

/**
 * The databases that the token sees, without the server's own. This also proves the credentials.
 * @throws {Outage} if they or the organization are wrong
 */
export async function listDatabases(send: SendRequest, api: Api, org: string): Promise<string[]> {
  if (isWithoutDatabases(api.kind)) return [];
  const names = api.kind === "v2" ? await listV2(send, api.label, org) : await listRows(send, api);
  return names.filter((name) => !name.startsWith("_"));
}

function listRows(send: SendRequest, { kind, label }: Api): Promise<string[]> {
  const request: InfluxRequest =
    kind === "v3"
      ? { method: "GET", path: "/api/v3/configure/database?format=json" }
      : queryV1("SHOW DATABASES");
  return listing(send, label, request, (answer) => {
    if (kind === "v3" && Array.isArray(answer))
      return rowsOf3.parse(answer).map((row) => row["iox::database"]);
    return rowsOf1.parse(answer).results[0]?.series?.[0]?.values?.map(([name]) => name) ?? [];
  });
}

const rowsOf3 = z.array(z.object({ "iox::database": z.string() }));
const rowsOf1 = z.object({
  results: z.array(
    z.object({
      series: z
        .array(z.object({ values: z.array(z.tuple([z.string()], z.unknown())).optional() }))
        .optional(),
    }),
  ),
});
const orgsOf2 = z.object({ orgs: z.array(z.object({ id: z.string() })) });
const bucketsOf2 = z.object({ buckets: z.array(z.object({ name: z.string() })) });

async function listV2(send: SendRequest, label: string, org: string): Promise<string[]> {
  const orgID = await organizationId(send, org);
  // A token for some buckets sees no organization, and those buckets all the same.
  const owner = orgID === null ? `org=${encodeURIComponent(org)}` : `orgID=${orgID}`;
  const names: string[] = [];
  for (let offset = 0; offset < bucketsMax; offset += pageMax) {
    const path = `/api/v2/buckets?limit=${pageMax}&offset=${offset}&${owner}`;
    const buckets = await listing(send, label, { method: "GET", path }, (answer) =>
      bucketsOf2.parse(answer).buckets.map(({ name }) => name),
    );
    names.push(...buckets);
    if (buckets.length < pageMax) break;
  }
  return names;
}

/** @throws {Outage} also if a 200 brings no list: some other service answered, such as a portal that wants a login */
async function listing(
  send: SendRequest,
  label: string,
  request: InfluxRequest,
  namesIn: (answer: unknown) => string[],
): Promise<string[]> {
  const answer = await send(request);
  const said = `${label} answers ${saidIn(answer)}`;
  if (answer.status !== 200) throw new Outage(said, { alarm: true });
  try {
    return namesIn(parse(answer.text));
  } catch {
    throw new Outage(`${said} (no list of databases: check INFLUXDB_URL)`, { alarm: true });
  }
}
