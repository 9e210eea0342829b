/**
 * Databases: the name a tenant's data goes to, whether the far side can have it, and its creation with a retention
 * period, which InfluxDB 3 Core takes at creation only. (Without one, 3 creates a database at its first write and
 * keeps the data for ever; 1 and 2 create none by themselves.)
 */
import { Outage } from "../outage.ts";
import type { Api, ApiKind } from "./api.ts";
import type { Answer } from "./answer.ts";
import type { Request } from "./http.ts";

/** A request with the credentials of the far side. */
export type Ask = (request: Request) => Promise<Answer>;

/** InfluxDB 3 Core holds this many databases, whatever the licence of the template says. */
export const coreDatabasesMax = 5;

const portableName = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
// oxlint-disable-next-line no-control-regex
const looseName = /^[^_"\\/\u0000-\u001f\u007f][^"\\/\u0000-\u001f\u007f]{0,127}$/;

/** What is wrong with a database name; null where it is good. A bad one would cost its whole batch, or name another target. */
export function nameFault(kind: ApiKind | "file", name: string): string | null {
  if ((kind === "v1" || kind === "v2" ? looseName : portableName).test(name)) return null;
  return `${JSON.stringify(name)} cannot be the name of a database: letters, digits, "_" and "-", 64 at most (INFLUXDB_DATABASE can name one that tenants share)`;
}

/** `30d` and the like in seconds; 0 for `forever`. */
function seconds(retention: string): number {
  const unit = { h: 3600, d: 86_400, w: 604_800 }[retention.slice(-1)];
  return unit === undefined ? 0 : Number.parseInt(retention, 10) * unit;
}

/**
 * Creates a database unless it is there.
 * @throws {Outage} where the server will not.
 */
export async function createDatabase(ask: Ask, kind: ApiKind, name: string, retention: string, org: string) {
  const answer = await { v3: createV3, v2: createV2, v1: createV1 }[kind](ask, name, retention, org);
  const there = answer.status === 409 || /already exists|conflicts with an existing/i.test(answer.text);
  const failed = answer.status >= 300 || /"error"/.test(answer.text);
  if (failed && !there)
    throw new Outage(
      `cannot create database ${name}: HTTP ${answer.status} ${answer.text.trim().slice(0, 300)}`,
      {
        retryAfterMs: 30_000,
        alarm: answer.status < 500,
      },
    );
}

const json = { "content-type": "application/json" };

function createV3(ask: Ask, db: string, retention: string): Promise<Answer> {
  const period = seconds(retention) === 0 ? {} : { retention_period: retention };
  const body = JSON.stringify({ db, ...period });
  return ask({ method: "POST", path: "/api/v3/configure/database", headers: json, body });
}

async function createV2(ask: Ask, name: string, retention: string, org: string): Promise<Answer> {
  const found = await ask({ method: "GET", path: `/api/v2/orgs?org=${encodeURIComponent(org)}` });
  const orgID = /"id"\s*:\s*"([0-9a-f]+)"/.exec(found.text)?.[1];
  if (orgID === undefined) return found;
  const retentionRules = [{ type: "expire", everySeconds: seconds(retention) }];
  const body = JSON.stringify({ orgID, name, retentionRules });
  return ask({ method: "POST", path: "/api/v2/buckets", headers: json, body });
}

function createV1(ask: Ask, name: string, retention: string): Promise<Answer> {
  const period = seconds(retention) === 0 ? "INF" : retention;
  return ask(queryV1(`CREATE DATABASE "${name}" WITH DURATION ${period}`));
}

function queryV1(query: string): Request {
  const body = new URLSearchParams({ q: query }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return { method: "POST", path: "/query", headers, body };
}

/**
 * How many databases the server has, asked with the credentials: so it also tells whether they are good.
 * @throws {Outage} where they are not.
 */
export async function countDatabases(ask: Ask, { kind, label }: Api, org: string): Promise<number> {
  const requests = {
    v3: { method: "GET", path: "/api/v3/configure/database?format=json" },
    v2: { method: "GET", path: `/api/v2/buckets?limit=100&org=${encodeURIComponent(org)}` },
    v1: queryV1("SHOW DATABASES"),
  } as const satisfies Record<ApiKind, Request>;
  const answer = await ask(requests[kind]);
  if (answer.status !== 200)
    throw new Outage(`${label} answers HTTP ${answer.status}: ${answer.text.trim().slice(0, 300)}`, {
      alarm: true,
    });
  const rows: unknown = JSON.parse(answer.text);
  if (kind === "v3" && Array.isArray(rows))
    return rows.filter((row) => !JSON.stringify(row).includes('"_internal"')).length;
  const listed = rows as { buckets?: unknown[]; results?: { series?: { values?: unknown[] }[] }[] };
  return listed.buckets?.length ?? listed.results?.[0]?.series?.[0]?.values?.length ?? 0;
}
