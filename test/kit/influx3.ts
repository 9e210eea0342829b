/**
 * A strict fake of InfluxDB 3 Core's write endpoint. It repeats the answers of a real InfluxDB 3 Core 3.10.1, as they were
 * recorded one by one, with the troubles that cannot be had on demand as switches. It is node:http and not Bun.serve
 * because it has to reset connections.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { applyLines, FakeDatabase, type Conflict, type LineError } from "./influxstore.ts";
import type { Leniency, Point } from "./lineparser.ts";

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
  /** Writes wait without an answer; once there is room again they are stored and answered. */
  readonly diskFull?: boolean;
  /** Writes after a point of 2262-04-11T23:40 until the log dies of it: 1,800 in the real one. */
  readonly walFilesMax?: number;
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
  /** The write-ahead log is dead: writes get no answer, `/ping` gets 200. */
  readonly walDead: boolean;
  /** Restarts the server: the log is replayed, with whatever kills it. */
  restart(): void;
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
  /** Writes that wait for room on the disk. */
  const waiting: (() => void)[] = [];
  let walDead = false;
  /** Writes since the point that kills the log. */
  let walFiles: number | null = null;

  function denied({ authorization }: IncomingMessage["headers"]): Reply | null {
    const basic = /^Basic (\S+)$/.exec(authorization ?? "")?.[1];
    const pair = basic === undefined ? null : Buffer.from(basic, "base64").toString();
    if (
      authorization !== undefined &&
      (!/^(Bearer|Token|Basic) [^ ]+$/.test(authorization) || !(pair ?? ":").includes(":"))
    )
      return json(400, { error: malformed });
    if (switches.token === undefined) return null;
    const token = pair === null ? authorization?.split(" ")[1] : pair.split(":")[1];
    return token === switches.token ? null : json(401, { error: "the request was not authenticated" });
  }

  function open(name: string, retentionMs = 0): FakeDatabase | Reply {
    const there = databases.get(name);
    if (there !== undefined) return there;
    const fault = nameFault(name);
    if (fault !== null) return json(400, { error: fault });
    const most = switches.databasesMax ?? 5;
    if (databases.size >= most)
      return json(422, { error: `Adding a new database would exceed limit of ${most} databases` });
    const fresh = new FakeDatabase({ retentionMs });
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

  function faultOf(point: Point, database: FakeDatabase): string | null {
    const conflict = database.conflict(point);
    const most = switches.columnsMax ?? 500;
    if (conflict !== null) {
      // The real one has typed the line's other columns by the time it finds out.
      database.announce(point, conflict.column);
      return conflictWords(conflict);
    }
    return database.width(point) > most
      ? `Update to schema would exceed number of columns per table limit of ${most} columns`
      : null;
  }

  function store(name: string, body: string, acceptPartial: boolean): Reply {
    if (body.split("\n").every((line) => line.trim() === "" || line.startsWith("#")))
      return { status: 400, text: "incoming write was empty" };
    const database = open(name);
    if (!(database instanceof FakeDatabase)) return database;
    const applying = { lenient, fault: faultOf };
    const errors = applyLines(acceptPartial ? database : structuredCloneOf(database), body, applying);
    if (!acceptPartial && errors.length === 0) applyLines(database, body, applying);
    if (walFiles !== null) walFiles += 1;
    else if (database.newest >= lastChunkNs) walFiles = 0;
    if (errors.length === 0) return { status: 204 };
    if (acceptPartial)
      return json(errors.some(({ message }) => message.startsWith("Update to schema")) ? 422 : 400, {
        error: "partial write of line protocol occurred",
        data: errors.map(dataOf),
      });
    return json(400, { error: "line protocol parsing error", data: errors.slice(0, 1).map(dataOf)[0] });
  }

  function write(query: URLSearchParams, raw: Buffer, headers: IncomingMessage["headers"]): Fault {
    const name = query.get("db");
    if (query.size === 0) return { status: 400, text: "missing query parameter 'db'" };
    if (name === null) return { status: 400, text: "serde error: missing field `db`" };
    if (!precisions.has(query.get("precision") ?? "auto"))
      return { status: 400, text: `serde error: unknown variant \`${query.get("precision")}\`` };
    if (query.get("precision") !== "nanosecond")
      return { status: 400, text: "this fake wants precision=nanosecond" };
    const body = unpack(raw, headers["content-encoding"]);
    if (typeof body !== "string") return note({ database: name, body: "", headers, number: 0 }, body);
    const request = { database: name, body, headers, number: writes.length + 1 };
    const fault = walFault() ?? switches.fault?.(request) ?? null;
    if (fault === "reset-after-store") store(name, body, query.get("accept_partial") !== "false");
    return note(request, fault ?? store(name, body, query.get("accept_partial") !== "false"));
  }

  function walFault(): Fault | null {
    if (walDead) return "hang";
    walDead = walFiles !== null && walFiles >= (switches.walFilesMax ?? 1_800);
    const words = "write buffer error: error from wal: error writing wal file: oneshot channel closed";
    return walDead ? { status: 500, text: words } : null;
  }

  /** Version 2's and 1's way in: all or nothing, in other shapes. */
  function writeAs2(query: URLSearchParams, raw: Buffer, headers: IncomingMessage["headers"]): Reply {
    const body = unpack(raw, headers["content-encoding"]);
    if (typeof body !== "string") return body;
    const { status, text = "" } = store(query.get("bucket") ?? query.get("db") ?? "", body, false);
    if (status === 204 || query.has("db")) return { status, text };
    const told = text.startsWith("{")
      ? (JSON.parse(text) as { error: string; data?: { error_message: string } })
      : { error: text };
    const why =
      told.data === undefined ? told.error : `line protocol parse failed: ${told.data.error_message}`;
    return json(400, { code: "invalid", message: `write buffer error: ${why}` });
  }

  function note(request: Write, fault: Fault): Fault {
    writes.push({ write: request, status: typeof fault === "string" ? 0 : fault.status });
    return fault;
  }

  function configure({ method, headers }: IncomingMessage, raw: Buffer): Reply {
    if (method === "GET")
      return json(
        200,
        [...databases.keys(), "_internal"].map((name) => ({ "iox::database": name })),
      );
    if (!headers["content-type"]?.startsWith("application/json"))
      return { status: 415, text: "unacceptable content-type, expected: application/json" };
    const asked = JSON.parse(raw.toString()) as Influx3["created"][number];
    const { db, retention_period: period } = asked;
    if (period !== undefined && !/^\d+[smhdwy]$/.test(period))
      return {
        status: 400,
        text: `serde json error: invalid value: string "${period}", expected a duration at line 1 column 35`,
      };
    created.push(asked);
    if (databases.has(db)) return { status: 409, text: "attempted to create a resource that already exists" };
    const database = open(db, period === undefined ? 0 : retentionOf(period));
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
    if (url.pathname === "/api/v3/configure/database") return configure(request, raw);
    if (url.pathname === "/api/v3/write_lp" && request.method === "POST")
      return write(url.searchParams, raw, request.headers);
    if (["/health", "/api/v1/health"].includes(url.pathname)) return { status: 200, text: "OK" };
    if (["/api/v2/write", "/write"].includes(url.pathname) && request.method === "POST")
      return writeAs2(url.searchParams, raw, request.headers);
    return { status: 404, text: "Not found" };
  }

  async function serve(request: IncomingMessage, response: ServerResponse) {
    const raw = await readAll(request);
    if (switches.diskFull && /write/.test(request.url ?? ""))
      await new Promise<void>((healed) => waiting.push(healed));
    const reply = route(request, raw);
    // What is bad as a whole waits for no flush of the log.
    const waits = typeof reply === "string" || reply.status < 300 || /partial write/.test(reply.text ?? "");
    if (switches.flushMs !== undefined && waits) await Bun.sleep(switches.flushMs);
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
    get walDead() {
      return walDead;
    },
    restart() {
      walDead = false;
    },
    set(options) {
      Object.assign(switches, options);
      if (switches.diskFull) return;
      for (const healed of waiting.splice(0)) healed();
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

const lenient: Leniency = {
  duplicateTag: true,
  anyFieldName: true,
  controls: true,
  infinity: true,
  timeless: true,
  stringBytesMax: 1_048_576,
};

const malformed =
  "Authorization header was malformed, the request was not in the form of 'Authorization: <auth-scheme> <token>', supported auth-schemes are Bearer, Token and Basic";

/** What is wrong with a database's name, in the real one's words. */
function nameFault(name: string): string | null {
  if (name === "") return "db name cannot be empty";
  if (name.length > 511) return "db name too long: max 511";
  if (!/^[A-Za-z0-9]/.test(name)) return "db name did not start with a number or letter";
  if (/^[^/]+\/([^/]*\/.*)?$/.test(name))
    return "db name with invalid retention policy, if providing a retention policy name, must be of form '<db_name>/<rp_name>'";
  if (/^[A-Za-z0-9/_-]*$/.test(name)) return null;
  return "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens";
}

const unitSeconds: Readonly<Record<string, bigint>> = {
  s: 1n,
  m: 60n,
  h: 3_600n,
  d: 86_400n,
  w: 604_800n,
  y: 31_557_600n,
};

/** Beyond 64 bits of nanoseconds it wraps: 213504d is kept as 25 minutes. */
function retentionOf(period: string): number {
  const ns = BigInt(period.slice(0, -1)) * (unitSeconds[period.slice(-1)] ?? 1n) * 1_000_000_000n;
  return Number(BigInt.asUintN(64, ns) / 1_000_000n);
}

/** The last, incomplete ten minutes of 64-bit nanoseconds. */
const lastChunkNs = BigInt(Date.UTC(2262, 3, 11, 23, 40)) * 1_000_000n;

/** A database that can be written to without consequence. */
function structuredCloneOf(database: FakeDatabase): FakeDatabase {
  const copy = new FakeDatabase(database.rules);
  for (const [name, { columns, points }] of database.tables)
    copy.tables.set(name, { columns: new Map(columns), points: new Map(points) });
  return copy;
}

const conflictWords = ({ column, has, came }: Conflict) =>
  `invalid column type for column '${column}', expected ${ioxType(has)}, got ${ioxType(came)}`;

const ioxType = (type: string) =>
  ["tag", "timestamp"].includes(type) ? `iox::column_type::${type}` : `iox::column_type::field::${type}`;

const dataOf = ({ number, message, text }: LineError) => ({
  error_message: message,
  line_number: number,
  original_line: text.replaceAll('"', "").slice(0, 20),
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
