/**
 * A strict fake of InfluxDB 3 Core's write endpoint, with every answer that its source and documentation give as a
 * switch. It is node:http and not Bun.serve because it has to reset connections.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { applyLines, FakeDatabase, type LineError } from "./influxstore.ts";

export interface Write {
  readonly database: string;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
  /** From 1, of the write requests. */
  readonly number: number;
}

export interface Reply {
  readonly status: number;
  readonly text?: string;
  readonly headers?: Record<string, string>;
}

/** An answer of its own, a connection that breaks before or after the lines are stored, or no answer at all. */
export type Fault = Reply | "reset" | "reset-after-store" | "hang";

export interface Influx3Options {
  readonly token?: string;
  readonly databasesMax?: number;
  readonly columnsMax?: number;
  /** A write waits for the next flush of the log, 1000 ms in the real one. */
  readonly flushMs?: number;
  readonly bodyBytesMax?: number;
  /** 413 from 3.10; 500 before. */
  readonly tooLargeStatus?: 413 | 500;
  readonly build?: string;
  /** What to answer to a write instead of the usual. */
  readonly fault?: (write: Write) => Fault | null;
}

export interface Influx3 {
  readonly url: string;
  readonly databases: Map<string, FakeDatabase>;
  /** Every write request with the status it got; 0: none. */
  readonly writes: { readonly write: Write; readonly status: number }[];
  /** Requests to create a database. */
  readonly created: { readonly db: string; readonly retention_period?: string }[];
  /** Points stored in all databases. */
  stored(): number;
  /** Changes the switches. */
  set(options: Partial<Influx3Options>): void;
  stop(): Promise<void>;
}

const precisions = new Set([
  "auto",
  "second",
  "millisecond",
  "microsecond",
  "nanosecond",
  "s",
  "ms",
  "us",
  "u",
  "ns",
  "n",
]);

export async function startInflux3(initial: Influx3Options = {}): Promise<Influx3> {
  const switches = { ...initial };
  const databases = new Map<string, FakeDatabase>();
  const writes: Influx3["writes"] = [];
  const created: Influx3["created"] = [];

  function denied({ authorization }: IncomingMessage["headers"]): Reply | null {
    if (authorization !== undefined && !/^(Bearer|Token|Basic) [^ ]+$/.test(authorization))
      return json(400, { error: "Authorization header was malformed, the request was not authenticated" });
    if (switches.token === undefined) return null;
    const [scheme, value = ""] = authorization?.split(" ") ?? [];
    const token = scheme === "Basic" ? Buffer.from(value, "base64").toString().split(":")[1] : value;
    return token === switches.token ? null : json(401, { error: "the request was not authenticated" });
  }

  function open(name: string): FakeDatabase | Reply {
    const there = databases.get(name);
    if (there !== undefined) return there;
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,510}$/.test(name))
      return json(400, {
        error:
          "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens",
      });
    const most = switches.databasesMax ?? 5;
    if (databases.size >= most)
      return json(422, { error: `Adding a new database would exceed limit of ${most} databases` });
    const fresh = new FakeDatabase();
    databases.set(name, fresh);
    return fresh;
  }

  function unpack(raw: Buffer, encoding: string | undefined): string | Reply {
    const bytesMax = switches.bodyBytesMax ?? 10_485_760;
    const old = switches.tooLargeStatus === 500;
    if (encoding !== undefined && encoding !== "identity" && encoding !== "gzip")
      return { status: 400, text: `unacceptable content-encoding: ${encoding}` };
    let plain = raw;
    try {
      if (encoding === "gzip") plain = gunzipSync(raw);
    } catch (error) {
      return { status: old ? 500 : 400, text: `error decoding gzip stream: ${String(error)}` };
    }
    if (plain.length > bytesMax)
      return {
        status: switches.tooLargeStatus ?? 413,
        text: `max request size (${bytesMax} bytes) exceeded`,
      };
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(plain);
    } catch (error) {
      return { status: old ? 500 : 400, text: `body content is not valid utf8: ${String(error)}` };
    }
  }

  function store(name: string, body: string, acceptPartial: boolean): Reply {
    if (body.trim() === "") return { status: 400, text: "incoming write was empty" };
    const database = open(name);
    if (!(database instanceof FakeDatabase)) return database;
    const target = acceptPartial ? database : structuredCloneOf(database);
    const { errors } = applyLines(target, body, conflictWords);
    const tooWide = [...target.tables.values()].some(
      ({ columns }) => columns.size > (switches.columnsMax ?? 500),
    );
    if (tooWide)
      return json(422, { error: "Update to schema would exceed number of columns per table limit" });
    if (errors.length === 0) {
      if (target !== database) applyLines(database, body, conflictWords);
      return { status: 204 };
    }
    if (acceptPartial)
      return json(400, { error: "partial write of line protocol occurred", data: errors.map(dataOf) });
    return json(400, { error: "line protocol parsing error", data: errors.slice(0, 1).map(dataOf)[0] });
  }

  function write(query: URLSearchParams, raw: Buffer, headers: IncomingMessage["headers"]): Fault {
    const name = query.get("db");
    if (name === null) return { status: 400, text: "serde error: missing field `db`" };
    if (!precisions.has(query.get("precision") ?? "auto"))
      return { status: 400, text: `serde error: unknown variant \`${query.get("precision")}\`` };
    if (query.get("precision") !== "nanosecond")
      return { status: 400, text: "this fake wants precision=nanosecond" };
    const body = unpack(raw, headers["content-encoding"]);
    if (typeof body !== "string") return note({ database: name, body: "", headers, number: 0 }, body);
    const request = { database: name, body, headers, number: writes.length + 1 };
    const fault = switches.fault?.(request) ?? null;
    if (fault === "reset-after-store") store(name, body, query.get("accept_partial") !== "false");
    return note(request, fault ?? store(name, body, query.get("accept_partial") !== "false"));
  }

  function note(request: Write, fault: Fault): Fault {
    writes.push({ write: request, status: typeof fault === "string" ? 0 : fault.status });
    return fault;
  }

  function configure(method: string | undefined, raw: Buffer): Reply {
    if (method === "GET")
      return json(
        200,
        [...databases.keys(), "_internal"].map((name) => ({ "iox::database": name })),
      );
    const asked = JSON.parse(raw.toString()) as Influx3["created"][number];
    created.push(asked);
    if (databases.has(asked.db))
      return json(409, { error: `attempted to create a resource that already exists: ${asked.db}` });
    const database = open(asked.db);
    return database instanceof FakeDatabase ? { status: 200 } : database;
  }

  function route(request: IncomingMessage, raw: Buffer): Fault {
    const url = new URL(request.url ?? "/", "http://fake");
    const no = denied(request.headers);
    if (no !== null) return no;
    if (url.pathname === "/ping")
      return {
        ...json(200, { product_name: "InfluxDB 3 Core", version: "3.10.1", revision: "fake" }),
        headers: { "x-influxdb-version": "3.10.1", "x-influxdb-build": switches.build ?? "Core" },
      };
    if (url.pathname === "/api/v3/configure/database") return configure(request.method, raw);
    if (url.pathname === "/api/v3/write_lp" && request.method === "POST")
      return write(url.searchParams, raw, request.headers);
    return { status: 404, text: "Not found" };
  }

  async function serve(request: IncomingMessage, response: ServerResponse) {
    const reply = route(request, await readAll(request));
    if (switches.flushMs !== undefined) await Bun.sleep(switches.flushMs);
    send(response, reply);
  }

  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    databases,
    writes,
    created,
    stored: () => [...databases.values()].reduce((sum, { size }) => sum + size, 0),
    set: (options) => void Object.assign(switches, options),
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** A database that can be written to without consequence. */
function structuredCloneOf(database: FakeDatabase): FakeDatabase {
  const copy = new FakeDatabase();
  for (const [name, { columns, points }] of database.tables)
    copy.tables.set(name, { columns: new Map(columns), points: new Map(points) });
  return copy;
}

const conflictWords = (_: string, { column, has, came }: { column: string; has: string; came: string }) =>
  `invalid column type for column '${column}', expected ${ioxType(has)}, got ${ioxType(came)}`;

const ioxType = (type: string) =>
  type === "tag" ? "iox::column_type::tag" : `iox::column_type::field::${type}`;

const dataOf = ({ number, message, text }: LineError) => ({
  error_message: message,
  line_number: number,
  original_line: text.slice(0, 20),
});

const json = (status: number, body: unknown): Reply => ({ status, text: JSON.stringify(body) });

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, reply: Fault): void {
  if (reply === "hang") return;
  if (typeof reply === "string") response.socket?.destroy();
  else response.writeHead(reply.status, reply.headers).end(reply.text);
}
