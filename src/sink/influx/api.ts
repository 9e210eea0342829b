/**
 * The three write interfaces of InfluxDB, and how to find out which one a server has.
 *
 * Each is asked in its own words: version 1 silently takes an unknown precision for nanoseconds, and the short names
 * came to version 3 only with 3.6. A precision is always given: `auto`, the default of 3, guesses from the magnitude, and a
 * device that thinks it is 1970 would be stored in another year.
 */
import { Outage } from "../outage.ts";
import type { Http } from "./http.ts";

export type ApiKind = "v3" | "v2" | "v1";

export interface Api {
  readonly kind: ApiKind;
  /** Product and version as the server gives them, such as "InfluxDB 3.10.1 Core". */
  readonly label: string;
}

export interface Credentials {
  readonly token: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

/** Bearer for version 3, Token for 2 and 1, Basic where there is a user name. Never in the URL. */
export function authorization(kind: ApiKind, { token, username, password }: Credentials): string | null {
  if (username !== undefined) {
    const pair = new TextEncoder().encode(`${username}:${password ?? token ?? ""}`);
    return `Basic ${pair.toBase64()}`;
  }
  if (token === undefined) return null;
  return `${kind === "v3" ? "Bearer" : "Token"} ${token}`;
}

export function writePath(kind: ApiKind, database: string, org: string): string {
  const name = encodeURIComponent(database);
  if (kind === "v3") return `/api/v3/write_lp?db=${name}&precision=nanosecond&accept_partial=true`;
  if (kind === "v1") return `/write?db=${name}&precision=ns`;
  return `/api/v2/write?org=${encodeURIComponent(org)}&bucket=${name}&precision=ns`;
}

/**
 * Asks `/ping`. Versions 1 and 2 tell their version in a header; 3 in a header and the body, but only to those with a
 * token, so that a 401 means 3.
 * @throws {Outage} where the answer is none of these.
 */
export async function detect(http: Http, credentials: Credentials): Promise<Api> {
  const auth = authorization("v3", credentials);
  const answer = await http({
    method: "GET",
    path: "/ping",
    ...(auth === null ? {} : { headers: { authorization: auth } }),
  });
  if (answer.status === 401 || answer.status === 403) return { kind: "v3", label: "InfluxDB 3" };
  const version =
    answer.headers.get("x-influxdb-version") ?? /"version":"([^"]+)"/.exec(answer.text)?.[1] ?? "";
  const build = answer.headers.get("x-influxdb-build") ?? "";
  const label = `InfluxDB ${version.replace(/^v/, "")} ${build}`.trim();
  const major = /^v?(\d+)\./.exec(version)?.[1];
  if (major === "3") return { kind: "v3", label };
  if (major === "2") return { kind: "v2", label };
  if (major === "1") return { kind: "v1", label };
  throw new Outage(
    `the server at INFLUXDB_URL does not say which InfluxDB it is (HTTP ${answer.status} to /ping): set INFLUXDB_API`,
    { retryAfterMs: 5_000, alarm: answer.status < 500 },
  );
}
