/**
 * A strict fake of InfluxDB 2.x OSS. It repeats the answers of a real 2.7.12 (and, on request, the words in which older
 * versions told of points beyond the retention period): buckets are not created by a write, a body that does not parse
 * stores nothing, a partial write stores the rest and answers 422, and no answer names a line.
 */
import { gunzipSync } from "node:zlib";
import { applyLines, FakeDatabase } from "./influxstore.ts";
import { parseLines, type Leniency, type Point } from "./lineparser.ts";

/** How a version tells of points older than the retention period. */
export type RetentionWords = "2.7" | "short" | "2.0";

export interface Influx2Options {
  readonly org: string;
  readonly token: string;
  readonly retentionWords?: RetentionWords;
  /** Buckets that the token may write; absent: all, and it may create some. */
  readonly writable?: readonly string[];
  /** True if the token may not read: lists are empty for it. */
  readonly writeOnly?: boolean;
  /** Buckets that the token may read; absent: all. With some of them it sees no organization. */
  readonly readable?: readonly string[];
}

export interface Influx2 {
  readonly url: string;
  readonly buckets: Map<string, FakeDatabase>;
  readonly rules: { readonly name: string; readonly everySeconds: number; readonly orgID: string }[];
  /** Statuses of the write requests, and how many bytes of lines each had. */
  readonly writes: number[];
  /** Makes a bucket as an operator would; its id. */
  bucket(name: string, retentionMs?: number): string;
  set(options: Partial<Influx2Options>): void;
  stop(): Promise<void>;
}

export const orgId = "00000000000000aa";
/** The organization that lists name first, which is another's. */
const otherOrg = { id: "00000000000000a0", name: "another" };
const systemBuckets = ["_monitoring", "_tasks"];
const lenient: Leniency = { duplicateField: true, anyFieldName: true, controls: true, timeless: true };
const stringBytesMax = 1_048_576;

export function startInflux2(initial: Influx2Options): Influx2 {
  const switches = { ...initial };
  const buckets = new Map<string, FakeDatabase>();
  const ids = new Map<string, string>();
  const rules: Influx2["rules"] = [];
  const writes: number[] = [];

  function bucket(name: string, retentionMs = 0): string {
    const id = `0b${(ids.size + 1).toString(16).padStart(14, "0")}`;
    ids.set(name, id);
    buckets.set(name, new FakeDatabase({ shards: true, retentionMs }));
    return id;
  }

  /** An id wins over a name. */
  const nameOf = (asked: string) => [...ids].find(([, id]) => id === asked)?.[0] ?? asked;

  async function write(query: URLSearchParams, request: Request): Promise<Response> {
    const org = query.get("org") ?? "";
    if (org === "") return problem(400, "invalid", "Please provide either orgID or org");
    if (![switches.org, orgId].includes(org))
      return problem(404, "not found", `organization name "${org}" not found`);
    if (!["ns", "us", "ms", "s"].includes(query.get("precision") ?? "ns"))
      return problem(400, "invalid", "invalid precision; valid precision units are ns, us, ms, and s");
    const asked = query.get("bucket") ?? "";
    if (asked === "") return problem(404, "not found", "bucket not found");
    const name = nameOf(asked);
    const target = buckets.get(name);
    if (target === undefined) return problem(404, "not found", `bucket "${asked}" not found`);
    if (switches.writable?.includes(name) === false)
      return problem(403, "forbidden", "insufficient permissions for write");
    const body = await unpack(request);
    return typeof body === "string" ? store(target, body) : body;
  }

  function store(target: FakeDatabase, body: string): Response {
    const bad = parseLines(body, lenient).flatMap(({ text, ...line }) =>
      "error" in line ? [`unable to parse '${text}': ${line.error}`] : reserved(line.point, text),
    );
    if (bad.length > 0) return problem(400, "invalid", bad.join("\n"));
    const old: Point[] = [];
    const errors = applyLines(target, body, {
      lenient,
      fault(point, database) {
        if (database.isOld(point)) old.push(point);
        return database.isOld(point) ? "old" : faultOf(point, database);
      },
    }).filter(({ message }) => message !== "old");
    if (errors.length > 0) return partial(`${errors[0]?.message} dropped=${errors.length}`);
    if (old.length > 0) return beyond(old, target.rules.retentionMs ?? 0);
    return new Response(null, { status: 204 });
  }

  function beyond(old: readonly Point[], retentionMs: number): Response {
    if (switches.retentionWords === "2.0")
      return problem(
        500,
        "internal error",
        `unexpected error writing points to database: partial write: points beyond retention policy dropped=${old.length}`,
      );
    const lead = `dropped ${old.length} points outside retention policy of duration ${retentionMs / 3_600_000}h0m0s`;
    if (switches.retentionWords === "short") return partial(lead);
    const bound = new Date(Date.now() - retentionMs).toISOString().replace("Z", "016458Z");
    const told = ({ measurement, tags, time }: Point) =>
      `point ${measurement}${[...tags].map(([k, v]) => `,${k}=${v}`).join("")} at ${new Date(Number(time / 1_000_000n)).toISOString()} dropped because it violates a Retention Policy Lower Bound at ${bound}`;
    const sorted = old.toSorted((a, b) => Number(a.time - b.time));
    const [oldest, newest] = [sorted[0], sorted.at(-1)] as [Point, Point];
    return partial(
      `${lead} - oldest ${told(oldest)}, newest ${told(newest)} dropped=${old.length} for database: ff043e085673a935 for retention policy: autogen`,
    );
  }

  async function createBucket(request: Request): Promise<Response> {
    const asked = (await request.json()) as {
      orgID: string;
      name: string;
      retentionRules: { everySeconds: number }[];
    };
    const everySeconds = asked.retentionRules[0]?.everySeconds ?? 0;
    if (switches.writable !== undefined)
      return problem(401, "unauthorized", `write:orgs/${asked.orgID}/buckets is unauthorized`);
    if (![orgId, otherOrg.id].includes(asked.orgID))
      return problem(404, "not found", "organization not found");
    if (asked.name.startsWith("_")) return problem(400, "invalid", "Buckets may not start with underscore");
    if (asked.name.includes('"')) return problem(400, "invalid", "Buckets may not include quotation marks");
    if (everySeconds > 0 && everySeconds < 3_600)
      return problem(500, "internal error", "retention policy duration must be at least 1h0m0s");
    if (buckets.has(asked.name))
      return problem(422, "conflict", `bucket with name ${asked.name} already exists`);
    const id = bucket(asked.name, everySeconds * 1_000);
    rules.push({ name: asked.name, everySeconds, orgID: asked.orgID });
    return Response.json({ id, name: asked.name }, { status: 201 });
  }

  /** Names are taken in `org`, ids in `orgID`. */
  function isUnknownOrg(query: URLSearchParams): boolean {
    const byName = query.get("org") ?? "";
    const byId = query.get("orgID") ?? "";
    return (
      (byName !== "" && ![switches.org, otherOrg.name].includes(byName)) || (byId !== "" && byId !== orgId)
    );
  }

  function orgs(query: URLSearchParams): Response {
    if (isUnknownOrg(query)) {
      const body = { code: "not found", message: `organization name "${query.get("org")}" not found` };
      return new Response(JSON.stringify(body, null, "\t"), { status: 404 });
    }
    const every = [otherOrg, { id: orgId, name: switches.org }];
    const [name, id] = [query.get("org") ?? "", query.get("orgID") ?? ""];
    const found = every.filter((org) => (name === "" || org.name === name) && (id === "" || org.id === id));
    return Response.json({ orgs: switches.writeOnly || switches.readable ? [] : found });
  }

  function list(query: URLSearchParams): Response {
    if (isUnknownOrg(query))
      return problem(404, "not found", `organization name "${query.get("org")}" not found`);
    const every = [...systemBuckets, ...buckets.keys()].map((name) => ({ id: ids.get(name) ?? "0c", name }));
    const offset = Number(query.get("offset") ?? 0);
    return Response.json({
      buckets: every
        .slice(offset, offset + Number(query.get("limit") ?? 20))
        .filter(({ name }) => !switches.writeOnly && switches.readable?.includes(name) !== false),
    });
  }

  async function route(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/ping") return new Response(null, { status: 204 });
    if (
      ![`Token ${switches.token}`, `Bearer ${switches.token}`].includes(
        request.headers.get("authorization") ?? "",
      )
    )
      return problem(401, "unauthorized", "unauthorized access");
    if (pathname === "/api/v2/orgs") return orgs(searchParams);
    if (pathname === "/api/v2/buckets")
      return request.method === "POST" ? createBucket(request) : list(searchParams);
    if (pathname !== "/api/v2/write") return problem(404, "not found", "path not found");
    if (request.method !== "POST") return problem(405, "method not allowed", "method not allowed");
    const answer = await write(searchParams, request);
    writes.push(answer.status);
    return answer;
  }

  async function serve(request: Request): Promise<Response> {
    const answer = await route(request);
    answer.headers.set("x-influxdb-version", "v2.7.12");
    answer.headers.set("x-influxdb-build", "OSS");
    return answer;
  }

  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: serve });
  return {
    url: `http://127.0.0.1:${server.port}`,
    buckets,
    rules,
    writes,
    bucket,
    set: (options) => void Object.assign(switches, options),
    stop: () => server.stop(true),
  };
}

async function unpack(request: Request): Promise<string | Response> {
  const raw = new Uint8Array(await request.arrayBuffer());
  try {
    return new TextDecoder().decode(
      request.headers.get("content-encoding") === "gzip" ? gunzipSync(raw) : raw,
    );
  } catch {
    return problem(500, "internal error", "An internal error has occurred - check server logs");
  }
}

/** Tags that the grammar itself refuses. */
function reserved({ tags }: Point, text: string): string[] {
  const taken = ["time", "_field", "_measurement"].find((name) => tags.has(name));
  return taken === undefined ? [] : [`unable to parse '${text}': cannot use reserved tag key "${taken}"`];
}

function faultOf(point: Point, database: FakeDatabase): string | null {
  const { measurement, fields } = point;
  if (fields.has("time"))
    return `invalid field name: input field "time" on measurement "${measurement}" is invalid`;
  for (const [name, { type, value }] of fields)
    if (type === "string" && Buffer.byteLength(value) > stringBytesMax)
      return `input field "${name}" on measurement "${measurement}" is too long, ${Buffer.byteLength(value)} > ${stringBytesMax}`;
  const conflict = database.conflict(point);
  if (conflict === null) return null;
  const { column, came, has } = conflict;
  return `field type conflict: input field "${column}" on measurement "${measurement}" is type ${came}, already exists as type ${has}`;
}

const partial = (words: string): Response =>
  problem(422, "unprocessable entity", `failure writing points to database: partial write: ${words}`);

function problem(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}
