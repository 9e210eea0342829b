/**
 * A small strict fake of VictoriaMetrics' line-protocol endpoint. It repeats the answers of a real single node 1.79.5 and
 * (`strict`) 1.150.0: `/ping` without a version, `db` as a label and `bucket` ignored, bodies split at every line feed, a
 * text stored as 0, milliseconds, and a line that is sent twice as two samples.
 */
import { gunzipSync } from "node:zlib";
import { parseLines } from "./lineparser.ts";

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly ms: number;
}

export interface VictoriaMetrics {
  readonly url: string;
  readonly samples: Sample[];
  /** Statuses of the write requests. */
  readonly writes: number[];
  stop(): Promise<void>;
}

/** `strict`: a line that does not parse is 400 and stores nothing; else it is left out, with 204. */
export function startVictoriaMetrics({ strict = false }: { strict?: boolean } = {}): VictoriaMetrics {
  const samples: Sample[] = [];
  const writes: number[] = [];

  function store(body: string, db: string | null): Response {
    const taken: Sample[] = [];
    for (const text of body.split("\n")) {
      const [line] = parseLines(text, {
        anyFieldName: true,
        duplicateTag: true,
        infinity: true,
        timeless: true,
      });
      if (line === undefined) continue;
      if ("error" in line && strict)
        return new Response(
          `cannot process influx line protocol data: incorrect influx line "${text}": ${line.error}`,
          { status: 400 },
        );
      if ("error" in line) continue;
      const { measurement, tags, fields, time } = line.point;
      const labels = { ...(db === null ? {} : { db }), ...Object.fromEntries(tags) };
      for (const [name, { value }] of fields)
        taken.push({
          name: `${measurement}_${name}`,
          labels,
          value: Number(value) || 0,
          ms: Number(time / 1_000_000n),
        });
    }
    samples.push(...taken);
    return new Response(null, { status: 204, headers: { "x-influxdb-version": "1.8.0" } });
  }

  async function route(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/ping") return new Response(null, { status: 204 });
    if (pathname === "/health") return new Response("OK");
    if (pathname === "/api/v1/status/buildinfo") return Response.json({ status: "success", data: {} });
    if (pathname === "/query") {
      const series = [{ name: "databases", columns: ["name"], values: [["_internal"]] }];
      return Response.json(
        { results: [{ statement_id: 0, series }] },
        { headers: { "x-influxdb-version": "1.8.0" } },
      );
    }
    if (!["/api/v2/write", "/write", "/influx/write"].includes(pathname))
      return new Response(`unsupported path requested: "${pathname}"`, { status: 400 });
    const raw = new Uint8Array(await request.arrayBuffer());
    const body = new TextDecoder().decode(
      request.headers.get("content-encoding") === "gzip" ? gunzipSync(raw) : raw,
    );
    const answer = store(body, searchParams.get("db"));
    writes.push(answer.status);
    return answer;
  }

  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: route });
  return { url: `http://127.0.0.1:${server.port}`, samples, writes, stop: () => server.stop(true) };
}
