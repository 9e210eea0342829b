/**
 * A small strict fake of QuestDB's line-protocol endpoint. It repeats the answers of a real QuestDB 9.3.4: it calls itself
 * InfluxDB v2.7.4, knows neither buckets nor organizations, takes a body whole or not at all, names the first bad line
 * alone, and keeps a line that is sent twice as two rows.
 */
import { gunzipSync } from "node:zlib";
import { parseLines, type Point } from "./lineparser.ts";

export interface QuestDb {
  readonly url: string;
  /** Every row of every table, in the order of their arrival. */
  readonly rows: Point[];
  /** Statuses of the write requests. */
  readonly writes: number[];
  /** Column → type, of all tables: "table.column". */
  readonly columns: Map<string, string>;
  stop(): Promise<void>;
}

const protocolTypes: Readonly<Record<string, string>> = {
  float: "FLOAT",
  integer: "INTEGER",
  boolean: "BOOLEAN",
  string: "STRING",
};
const columnTypes: Readonly<Record<string, string>> = {
  float: "DOUBLE",
  integer: "LONG",
  boolean: "BOOLEAN",
  string: "VARCHAR",
};

export function startQuestDb(): QuestDb {
  const rows: Point[] = [];
  const writes: number[] = [];
  const columns = new Map<string, string>();

  function faultOf({ measurement, fields, time }: Point): string | null {
    if (time < 0n)
      return `table: ${measurement}, timestamp: ${time}; designated timestamp before 1970-01-01 is not allowed`;
    for (const [name, { type }] of fields) {
      if (/[./%:*'"()\-,\\?+~\p{Cc}]/u.test(name) || name.length > 127)
        return `table: ${measurement}; invalid column name: ${name}`;
      const key = `${measurement}.${name.toLowerCase()}`;
      const has = columns.get(key) ?? type;
      columns.set(key, has);
      const fits = has === type || (has === "float" && type !== "string");
      if (!fits)
        return `table: ${measurement}, column: ${name}; cast error from protocol type: ${protocolTypes[type]} to column type: ${columnTypes[has]}`;
    }
    return null;
  }

  function refused(line: number, words: string): Response {
    const message = `failed to parse line protocol:errors encountered on line(s):\n${words}`;
    const code = words.startsWith("error in line") ? "invalid" : "internal error";
    return Response.json(
      { code, message, line, errorId: "096422a7b363-1" },
      { status: code === "invalid" ? 400 : 500 },
    );
  }

  /** It splits at every line feed, also within a quoted string. */
  function store(body: string): Response {
    const points: Point[] = [];
    const lines = body.split("\n").filter((line) => line !== "");
    for (const [index, line] of lines.entries()) {
      const [parsed] = parseLines(line, { anyFieldName: true });
      if (parsed === undefined) continue;
      const fault = "point" in parsed ? faultOf(parsed.point) : parsed.error;
      if (fault !== null) return refused(index + 1, `error in line ${index + 1}: ${fault}`);
      if ("point" in parsed && parsed.point.fields.has("timestamp"))
        return refused(
          index + 1,
          `write error: ${parsed.point.measurement}, errno: -1, error: designated timestamp column cannot be NULL`,
        );
      if ("point" in parsed) points.push(parsed.point);
    }
    rows.push(...points);
    return new Response(null, { status: 204 });
  }

  async function route(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/ping")
      return new Response(null, { status: 204, headers: { "x-influxdb-version": "v2.7.4" } });
    if (pathname === "/query" && request.method === "POST")
      return new Response("Method POST not supported\r\n", { status: 405 });
    if (!["/api/v2/write", "/write"].includes(pathname))
      return new Response("Not Found\r\n", { status: 404 });
    const raw = new Uint8Array(await request.arrayBuffer());
    const answer = store(
      new TextDecoder().decode(request.headers.get("content-encoding") === "gzip" ? gunzipSync(raw) : raw),
    );
    writes.push(answer.status);
    return answer;
  }

  async function serve(request: Request): Promise<Response> {
    const answer = await route(request);
    answer.headers.set("server", "questDB/1.0");
    return answer;
  }

  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: serve });
  return { url: `http://127.0.0.1:${server.port}`, rows, writes, columns, stop: () => server.stop(true) };
}
