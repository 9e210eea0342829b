/**
 * A fake of InfluxDB 2.x OSS: buckets are not created by a write, a body that does not parse stores nothing, a type
 * conflict stores the rest and answers 422, and no answer names a line.
 */
import { gunzipSync } from "node:zlib";
import { parseLines } from "./lineparser.ts";
import { applyLines, FakeDatabase } from "./influxstore.ts";

export interface Influx2 {
  readonly url: string;
  readonly buckets: Map<string, FakeDatabase>;
  readonly rules: { readonly name: string; readonly everySeconds: number }[];
  /** Statuses of the write requests. */
  readonly writes: number[];
  stop(): Promise<void>;
}

const orgId = "00000000000000aa";

export function startInflux2({ org, token }: { org: string; token: string }): Influx2 {
  const buckets = new Map<string, FakeDatabase>();
  const rules: Influx2["rules"] = [];
  const writes: number[] = [];

  async function write(query: URLSearchParams, request: Request): Promise<Response> {
    if (query.get("org") !== org)
      return problem(404, "not found", `organization name "${query.get("org")}" not found`);
    if (!["ns", "us", "ms", "s"].includes(query.get("precision") ?? "ns"))
      return problem(400, "invalid", "invalid precision; valid precision units are ns, us, ms, and s");
    const bucket = buckets.get(query.get("bucket") ?? "");
    if (bucket === undefined) return problem(404, "not found", `bucket "${query.get("bucket")}" not found`);
    const raw = new Uint8Array(await request.arrayBuffer());
    const body = new TextDecoder().decode(
      request.headers.get("content-encoding") === "gzip" ? gunzipSync(raw) : raw,
    );
    const bad = parseLines(body).find((line) => "error" in line);
    if (bad !== undefined) return problem(400, "invalid", `unable to parse '${bad.text}': invalid`);
    const { errors } = applyLines(
      bucket,
      body,
      (table, { column, has, came }) =>
        `input field "${column}" on measurement "${table}" is type ${came}, already exists as type ${has}`,
    );
    if (errors.length === 0) return new Response(null, { status: 204 });
    const words = `failure writing points to database: partial write: field type conflict: ${errors[0]?.message} dropped=${errors.length}`;
    return problem(422, "unprocessable entity", words);
  }

  async function createBucket(request: Request): Promise<Response> {
    const asked = (await request.json()) as {
      orgID: string;
      name: string;
      retentionRules: { everySeconds: number }[];
    };
    if (asked.orgID !== orgId) return problem(404, "not found", "organization not found");
    if (buckets.has(asked.name))
      return problem(422, "conflict", `bucket with name ${asked.name} already exists`);
    buckets.set(asked.name, new FakeDatabase());
    rules.push({ name: asked.name, everySeconds: asked.retentionRules[0]?.everySeconds ?? 0 });
    return Response.json({ id: "1", name: asked.name }, { status: 201 });
  }

  async function route(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname === "/ping")
      return new Response(null, {
        status: 204,
        headers: { "x-influxdb-version": "v2.7.10", "x-influxdb-build": "OSS" },
      });
    if (request.headers.get("authorization") !== `Token ${token}`)
      return problem(401, "unauthorized", "unauthorized access");
    if (url.pathname === "/api/v2/orgs") return Response.json({ orgs: [{ id: orgId, name: org }] });
    if (url.pathname === "/api/v2/buckets" && request.method === "POST") return createBucket(request);
    if (url.pathname === "/api/v2/buckets")
      return Response.json({ buckets: [...buckets.keys()].map((name) => ({ name })) });
    if (url.pathname !== "/api/v2/write") return problem(404, "not found", "path not found");
    const answer = await write(url.searchParams, request);
    writes.push(answer.status);
    return answer;
  }

  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: route });
  return { url: `http://127.0.0.1:${server.port}`, buckets, rules, writes, stop: () => server.stop(true) };
}

function problem(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}
